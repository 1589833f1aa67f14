//! What counts as the same error.

use error_analytics::{fingerprint, normalise};
use proptest::prelude::*;

#[test]
fn patterns() {
    let cases = [
        ("", ""),
        ("Connection refused", "connection refused"),
        ("timeout after 30 s", "timeout after <n> s"),
        (
            "timeout after 30.5s (attempt 3 of 5)",
            "timeout after <n>s (attempt <n> of <n>)",
        ),
        ("no answer from 10.0.0.12:5432", "no answer from <n>"),
        ("at 2026-04-01 12:30:05.123", "at <n> <n>"),
        (
            "run 0b9b4ce2-26a5-4a66-bc3f-8d0d4a1c2f3e failed",
            "run <id> failed",
        ),
        ("  two\n\tlines  ", "two lines"),
        ("address 0xDEADBEEF00", "address <hex>"),
        ("commit 9fceb02d0a", "commit <hex>"),
        ("mail to ann@example.com bounced", "mail to [email] bounced"),
        ("model gpt-4 answered", "model gpt-<n> answered"),
        ("worker17 died", "worker<n> died"),
        ("field 'total' is missing", "field 'total' is missing"),
        ("rows 1,000 of 2,000", "rows <n> of <n>"),
        ("Größe 12 ÜBERSCHRITTEN", "größe <n> überschritten"),
        ("id cus_9s6XKzkNRiz8i3ab12", "id <id>"),
        ("a.b.c and x-y-z", "a.b.c and x-y-z"),
    ];
    for (message, pattern) in cases {
        assert_eq!(normalise(message), pattern, "{message}");
    }
}

#[test]
fn the_same_and_not_the_same() {
    let of = |message| fingerprint("TimeoutError", "timeout", Some(message));
    assert_eq!(
        of("no answer after 30 s from ann@example.com"),
        of("No answer after 4.5 s  from bob@example.com")
    );
    assert_ne!(of("no answer after 30 s"), of("no connection after 30 s"));
    assert_ne!(of("x"), fingerprint("TimeoutError", "network", Some("x")));
    assert_ne!(of("x"), fingerprint("timeouterror", "timeout", Some("x")));
    assert_ne!(fingerprint("ab", "c", None), fingerprint("a", "bc", None));
    assert_eq!(fingerprint("a", "b", None), fingerprint("a", "b", Some("")));
    assert_eq!(of("x").len(), 16);
    // Stored in databases: another one would tell every error apart from its like of before.
    assert_eq!(of("timeout after 30 s"), "742b5b240c0407a7");
}

proptest! {
    #[test]
    fn any_text(message in ".{0,700}") {
        let pattern = normalise(&message);
        prop_assert!(!pattern.bytes().any(|byte| byte.is_ascii_digit()), "{pattern}");
        prop_assert!(!pattern.starts_with(' ') && !pattern.ends_with(' ') && !pattern.contains("  "));
    }

    #[test]
    fn numbers_do_not_matter(a in any::<u32>(), b in any::<u32>(), words in "[a-z ]{0,30}") {
        let of = |n: u32| normalise(&format!("{words} {n} {words}"));
        prop_assert_eq!(of(a), of(b));
    }

    #[test]
    fn ids_do_not_matter(a in "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}") {
        // An id of letters alone is possible, and told from words by nothing but its form.
        prop_assume!(a.bytes().any(|byte| byte.is_ascii_digit()));
        prop_assert_eq!(normalise(&format!("run {a} is gone")), "run <id> is gone");
    }
}
