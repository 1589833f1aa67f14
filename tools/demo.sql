-- What `make demo` prints.
\echo
\echo Installed:
SELECT extname AS extension, extversion AS version
FROM pg_extension
WHERE extname = 'shadower_analytics';
