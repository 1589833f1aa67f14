-- What `make demo` loads, once.
CREATE EXTENSION shadower_analytics;
