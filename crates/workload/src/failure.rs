//! The errors of failed runs.

use crate::kinds::{BusinessImpact, ErrorCategory, Severity};
use crate::random::Rng;
use crate::run::RunError;

/// A message with places that differ from run to run: `{id}`, `{n}`, `{ms}`, `{host}`, `{ip}`,
/// `{email}`. Addresses are of the domains and networks that are reserved for examples.
struct Template {
    error_type: &'static str,
    message: &'static str,
    stack: Option<&'static str>,
}

/// What the errors of one category have in common.
struct Profile {
    category: ErrorCategory,
    /// Weights of low, medium, high and critical, cumulative.
    severities: [u64; 4],
    recovery_chance: f64,
    templates: &'static [Template],
}

const fn template(error_type: &'static str, message: &'static str) -> Template {
    Template {
        error_type,
        message,
        stack: None,
    }
}

const fn traced(error_type: &'static str, message: &'static str, stack: &'static str) -> Template {
    Template {
        error_type,
        message,
        stack: Some(stack),
    }
}

/// Categories of failed runs and their cumulative weights. Timeouts of whole runs are apart.
const CATEGORIES: [ErrorCategory; 9] = [
    ErrorCategory::RateLimit,
    ErrorCategory::ModelError,
    ErrorCategory::Network,
    ErrorCategory::Validation,
    ErrorCategory::UserError,
    ErrorCategory::Resource,
    ErrorCategory::Timeout,
    ErrorCategory::Unknown,
    ErrorCategory::Auth,
];
const CATEGORY_WEIGHTS: [u64; 9] = [21, 39, 53, 67, 77, 85, 91, 96, 100];

fn profile(category: ErrorCategory) -> &'static Profile {
    // Profiles are in the order of the enum, as a test checks.
    &PROFILES[category as usize]
}

const PROFILES: [Profile; 9] = [
    Profile {
        category: ErrorCategory::Timeout,
        severities: [10, 70, 95, 100],
        recovery_chance: 0.3,
        templates: &[
            template(
                "TimeoutError",
                "Run {id} exceeded its time limit after {ms} ms",
            ),
            traced(
                "ToolTimeoutError",
                "Tool call {id} to https://{host}/v1/tools/{n} timed out after {ms} ms",
                "ToolTimeoutError\n  at invoke (runtime/tools.py:212)\n  at step (runtime/loop.py:88)",
            ),
        ],
    },
    Profile {
        category: ErrorCategory::RateLimit,
        severities: [50, 95, 100, 100],
        recovery_chance: 0.75,
        templates: &[
            template(
                "RateLimitError",
                "429 Too Many Requests from https://{host}/v1/chat: retry after {ms} ms (request {id})",
            ),
            template(
                "QuotaExceededError",
                "Quota of {n} tokens per minute exceeded for {email}",
            ),
        ],
    },
    Profile {
        category: ErrorCategory::Validation,
        severities: [60, 95, 100, 100],
        recovery_chance: 0.1,
        templates: &[
            template(
                "ValidationError",
                "Field 'amount' of document {id} is not a number: 'n/a ({n})'",
            ),
            traced(
                "SchemaError",
                "Output of step {n} does not match the schema: missing property 'customer_id'",
                "SchemaError\n  at validate (runtime/schema.py:57)\n  at finish (runtime/loop.py:131)",
            ),
        ],
    },
    Profile {
        category: ErrorCategory::ModelError,
        severities: [15, 70, 97, 100],
        recovery_chance: 0.35,
        templates: &[
            template(
                "ModelOverloadedError",
                "Model is overloaded (request {id}, queue length {n})",
            ),
            template(
                "ContextLengthError",
                "Prompt of {n} tokens exceeds the context of the model",
            ),
            traced(
                "InvalidResponseError",
                "Model returned malformed JSON at position {n} in response {id}",
                "InvalidResponseError\n  at parse (runtime/model.py:143)\n  at step (runtime/loop.py:74)",
            ),
        ],
    },
    Profile {
        category: ErrorCategory::Network,
        severities: [20, 65, 95, 100],
        recovery_chance: 0.6,
        templates: &[
            traced(
                "ConnectionError",
                "Connection to {ip}:{n} refused after {ms} ms",
                "ConnectionError\n  at connect (net/pool.py:39)\n  at send (net/client.py:118)",
            ),
            template("DnsError", "Could not resolve {host} (attempt {n})"),
        ],
    },
    Profile {
        category: ErrorCategory::Auth,
        severities: [0, 30, 80, 100],
        recovery_chance: 0.05,
        templates: &[
            template(
                "AuthenticationError",
                "401 Unauthorized: token of {email} expired {n} s ago",
            ),
            template(
                "PermissionError",
                "User {email} may not read https://{host}/files/{id}",
            ),
        ],
    },
    Profile {
        category: ErrorCategory::Resource,
        severities: [0, 45, 85, 100],
        recovery_chance: 0.25,
        templates: &[
            template(
                "OutOfMemoryError",
                "Worker {ip} ran out of memory: {n} MB used",
            ),
            template(
                "DiskFullError",
                "No space left on device: /var/lib/agents/{id}/scratch",
            ),
        ],
    },
    Profile {
        category: ErrorCategory::UserError,
        severities: [80, 100, 100, 100],
        recovery_chance: 0.05,
        templates: &[
            template(
                "MissingInputError",
                "File 'report-{n}.pdf' sent by {email} is empty",
            ),
            template(
                "UnsupportedFormatError",
                "Attachment {id} has an unsupported format",
            ),
        ],
    },
    Profile {
        category: ErrorCategory::Unknown,
        severities: [30, 75, 95, 100],
        recovery_chance: 0.15,
        templates: &[
            traced(
                "InternalError",
                "Unexpected state in run {id} at step {n}",
                "InternalError\n  at step (runtime/loop.py:97)\n  at run (runtime/main.py:21)",
            ),
            template("UnknownError", "Process exited with code {n}"),
        ],
    },
];

/// The category of a failed run; an incident's own cause explains most failures under it.
pub(crate) fn category(cause: Option<ErrorCategory>, rng: &mut Rng) -> ErrorCategory {
    let ordinary = CATEGORIES[rng.weighted(&CATEGORY_WEIGHTS)];
    cause.filter(|_| rng.chance(0.9)).unwrap_or(ordinary)
}

/// Whether it makes sense to try again.
pub(crate) fn is_retryable(category: ErrorCategory) -> bool {
    use ErrorCategory::{Auth, UserError, Validation};
    !matches!(category, Auth | UserError | Validation)
}

/// An error of the category; `is_whole_run` is for runs cut off by their own timeout.
pub(crate) fn error(category: ErrorCategory, is_whole_run: bool, rng: &mut Rng) -> RunError {
    let profile = profile(category);
    debug_assert_eq!(profile.category, category);
    let template = if is_whole_run {
        &profile.templates[0]
    } else {
        rng.pick(profile.templates)
    };
    let severity = Severity::ALL[rng.weighted(&profile.severities)];
    let recovered = rng.chance(profile.recovery_chance);
    RunError {
        category,
        severity,
        error_type: template.error_type,
        message: fill(template.message, rng),
        stack: template.stack,
        auto_recovered: recovered,
        recovery_attempts: if recovered {
            1 + small(rng, 3)
        } else {
            small(rng, 2)
        },
        recovery_time_seconds: recovered.then(|| tenths(rng.exponential(20.0) + 0.1)),
        affected_users: 1 + small(rng, 1 + 6 * severity as u64 * severity as u64),
        business_impact: impact(severity),
    }
}

fn impact(severity: Severity) -> BusinessImpact {
    match severity {
        Severity::Low => BusinessImpact::Low,
        Severity::Medium => BusinessImpact::Medium,
        Severity::High | Severity::Critical => BusinessImpact::High,
    }
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

fn small(rng: &mut Rng, bound: u64) -> i32 {
    i32::try_from(rng.below(bound)).unwrap_or(0)
}

/// Fills the places of a template.
fn fill(template: &str, rng: &mut Rng) -> String {
    let mut message = String::with_capacity(template.len() + 48);
    let mut pieces = template.split('{');
    message.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (place, rest) = piece.split_once('}').unwrap_or(("", piece));
        push_value(&mut message, place, rng);
        message.push_str(rest);
    }
    message
}

fn push_value(message: &mut String, place: &str, rng: &mut Rng) {
    use std::fmt::Write;
    const HOSTS: [&str; 3] = ["api.example.com", "models.example.net", "hooks.example.org"];
    const PEOPLE: [&str; 5] = ["ana", "ben.ito", "chris", "dana.osei", "eli"];
    const DOMAINS: [&str; 3] = ["example.com", "example.net", "example.org"];
    let number = rng.next();
    // Writing to a String cannot fail.
    let _ = match place {
        "id" => write!(message, "{number:016x}"),
        "n" => write!(message, "{}", 1 + number % 9_999),
        "ms" => write!(message, "{}", 100 + number % 60_000),
        "ip" => write!(message, "192.0.2.{}", 1 + number % 254),
        "host" => write!(message, "{}", rng.pick(&HOSTS)),
        "email" => {
            let (person, domain) = (rng.pick(&PEOPLE), rng.pick(&DOMAINS));
            write!(message, "{person}{}@{domain}", number % 100)
        }
        _ => Ok(()),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    #[test]
    fn profiles_are_in_the_order_of_the_categories() {
        let categories: Vec<ErrorCategory> = PROFILES.iter().map(|p| p.category).collect();
        assert_eq!(categories, ErrorCategory::ALL);
    }

    #[test]
    fn every_place_is_filled() {
        let mut rng = Rng::keyed(1, Stream::Run, 0);
        for template in PROFILES.iter().flat_map(|profile| profile.templates) {
            let message = fill(template.message, &mut rng);
            let places = template.message.matches('{').count();
            assert!(!message.contains(['{', '}']), "{message}");
            assert!(
                places == 0 || message != fill(template.message, &mut rng),
                "{message}"
            );
        }
    }

    #[test]
    fn places_are_known() {
        let mut rng = Rng::keyed(1, Stream::Run, 0);
        for template in PROFILES.iter().flat_map(|profile| profile.templates) {
            for piece in template.message.split('{').skip(1) {
                let mut value = String::new();
                push_value(
                    &mut value,
                    piece.split('}').next().unwrap_or_default(),
                    &mut rng,
                );
                assert!(!value.is_empty(), "{}", template.message);
            }
        }
    }
}
