//! Whatever the text is.
#![allow(missing_docs)]

use masking::{mask, mask_json};
use proptest::prelude::*;

/// Pieces of which secrets and their neighbours are made, so that random texts come close to them.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "\\PC{0,8}",
        2 => "[a-zA-Z0-9._%+-]{1,12}",
        2 => "[0-9 ().+/-]{1,20}",
        1 => "[A-Za-z0-9+/_-]{30,50}",
        1 => any::<char>().prop_map(String::from),
        3 => prop::sample::select(vec![
            "@", "://", "password=", "token: ", "\"", "'", "\\", "\\n", "%40", "[email]", "[secret]", "[", "]", "…",
            "Bearer ", "sk-", "eyJ", "AKIA", "tel: ", "ann@example.com", "+49 30 1234567", "4111 1111 1111 1111",
            "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "2024-01-15", "-----BEGIN PRIVATE KEY-----", "-----END", "x:", ".com",
        ]).prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn email() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{2,8}([.+_-][a-z0-9]{1,6})?@[a-z][a-z0-9]{2,9}(\\.[a-z][a-z0-9]{2,5})?\\.[a-z]{2,6}"
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "AKIA[A-Z0-9]{16}",
        "ghp_[A-Za-z0-9]{36}",
        "xoxb-[0-9]{11}-[A-Za-z0-9]{24}",
        "sk-ant-api03-[A-Za-z0-9_-]{40}",
        "sk_live_[A-Za-z0-9]{24}",
        "[0-9]{4}[0-9a-f]{32}[a-f]{4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn is_short_enough_and_stable(text in text(), max in prop_oneof![0_usize..60, Just(200), Just(100_000)]) {
        let masked = mask(&text, max);
        prop_assert!(masked.chars().count() <= max);
        prop_assert_eq!(mask(&masked, max), masked);
    }

    #[test]
    fn no_address_survives(before in text(), email in email(), after in text(), max in 0_usize..400) {
        let text = format!("{before}{email}{after}");
        prop_assert!(!mask(&text, 100_000).contains(&email), "{}", mask(&text, 100_000));
        prop_assert!(!mask(&text, max).contains(&email));
        // Nor the name in front of a cut.
        let (name, _) = email.split_once('@').ok_or_else(|| TestCaseError::fail("no @"))?;
        let lone = format!("see {email}");
        for max in 0..lone.len() {
            prop_assert!(!mask(&lone, max).contains(name));
        }
    }

    #[test]
    fn no_key_survives(before in text(), secret in secret(), after in text(), max in 0_usize..400) {
        for text in [format!("{before} {secret}{after}"), format!("{before}\\n{secret}\"{after}")] {
            prop_assert!(!mask(&text, 100_000).contains(&secret), "{}", mask(&text, 100_000));
            prop_assert!(!mask(&text, max).contains(&secret));
        }
    }

    #[test]
    fn plain_words_stay(words in prop::collection::vec("([a-z]{1,12}|[A-Z][a-z]{1,9})( [1-9][0-9]{0,8})?", 0..30)) {
        let text = words.join(" ");
        prop_assert_eq!(mask(&text, 100_000), text);
    }

    #[test]
    fn documents_stay_documents(key in text(), value in text(), number in any::<f64>(), max in 0_usize..300) {
        let document = serde_json::json!({ "k": [value, number, null], key: { "password": value } }).to_string();
        let masked = mask_json(&document, max);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&masked).is_ok(), "{}", masked);
        prop_assert_eq!(mask_json(&masked, max), masked);
        let _ = mask_json(&value, max); // no document, and no panic
    }
}
