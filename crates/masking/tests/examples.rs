//! What is masked and what stays, in texts as agents and people write them.
#![allow(missing_docs)]

use masking::mask;

const LONG: usize = 100_000;

const MASKED: &[(&str, &str)] = &[
    // Addresses.
    (
        "write to ann.lee+x@mail.example.co.uk.",
        "write to [email].",
    ),
    (
        "<Ann@Example.COM>, 'bob_1@example.org'",
        "<[email]>, '[email]'",
    ),
    ("jürgen@müller.de и почта@пример.рф", "[email] и [email]"),
    ("5john@example.com5x", "[email]"),
    ("/find?mail=ann%40example.com&x=1", "/find?mail=[email]&x=1"),
    (r"line\nann@example.com\tnext", r"line\n[email]\tnext"),
    (
        "mailto:ann@example.com?subject=x",
        "mailto:[email]?subject=x",
    ),
    (
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301@example.com",
        "[email]",
    ),
    // Phones.
    (
        "call +49 30 1234567 or +1 (555) 123-4567!",
        "call [phone] or [phone]!",
    ),
    ("+442079460958, +33 6 12 34 56 78", "[phone], [phone]"),
    ("+49 (0)30 1234-567", "[phone]"),
    ("0049 30 1234567 is mine", "[phone] is mine"),
    (
        "555-123-4567, (555) 123-4567, 555 234 5678, 1-800-555-0199",
        "[phone], [phone], [phone], [phone]",
    ),
    (
        "030 1234567, 0151/23456789 or (030) 1234567",
        "[phone], [phone] or [phone]",
    ),
    ("01 23 45 67 89 et 020 7946 0958", "[phone] et [phone]"),
    ("0612345678 and 07700 900123", "[phone] and [phone]"),
    ("(11) 91234-5678 138-1234-5678", "[phone] [phone]"),
    (
        "tel. 612345678, Phone: 612 34 56",
        "tel. [phone], Phone: [phone]",
    ),
    ("Call me at 5551234 please", "Call me at [phone] please"),
    // Cards.
    ("paid with 4111 1111 1111 1111.", "paid with [card]."),
    ("5500-0000-0000-0004, 340000000000009", "[card], [card]"),
    ("9 4111111111111111 9", "9 [card] 9"),
    // Keys and tokens by their form.
    ("sk-abcdefghijklmnop1234", "[key]"),
    (
        "key sk-ant-api03-AbC_d-1234567890, AKIAIOSFODNN7EXAMPLE",
        "key [key], [key]",
    ),
    ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "[key]"),
    ("AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY", "[key]"),
    ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", "[token]"),
    ("xoxb-123456789012-abcdefghijkl", "[token]"),
    (
        "glpat-abcdefghij1234567890 hf_abcdefghijklmnopqrstuvwxyz",
        "[token] [token]",
    ),
    (
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl rest",
        "[token] rest",
    ),
    (
        "Authorization: Bearer abc.def-123",
        "Authorization: Bearer [secret]",
    ),
    ("sent bearer abc123def456", "sent bearer [token]"),
    ("Basic dXNlcjpwYXNz", "Basic [token]"),
    ("md5 d41d8cd98f00b204e9800998ecf8427e", "md5 [token]"),
    ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY==", "[token]"),
    (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nend",
        "-----[key]\nend",
    ),
    ("-----BEGIN PRIVATE KEY-----\nMIIE cut", "-----[key]"),
    // Values by their names.
    ("password=hunter2 user=ann", "password=[secret] user=ann"),
    (
        "DB_PASSWORD: 'correct horse' next",
        "DB_PASSWORD: '[secret]' next",
    ),
    (
        r#"{"password": "a b", "n": 1}"#,
        r#"{"password": "[secret]", "n": 1}"#,
    ),
    (
        r#"{\"client_secret\": \"a b\"}"#,
        r#"{\"client_secret\": \"[secret]\"}"#,
    ),
    (
        "(pwd=abc), api_key=abcdef",
        "(pwd=[secret]), api_key=[secret]",
    ),
    (
        "Server=db;Password=p@ss,w0rd;User=x",
        "Server=db;Password=[secret];User=x",
    ),
    ("?token=abcdefgh&page=2", "?token=[secret]&page=2"),
    ("access_token: abc123def", "access_token: [secret]"),
    ("pin=1234 cvv: 123", "pin=[secret] cvv: [secret]"),
    // URLs.
    (
        "postgres://ann:s3cr3t@db.example.com:5432/x",
        "postgres://[secret]@db.example.com:5432/x",
    ),
    (
        "amqp://u:p/w@host and https://tok@host/x",
        "amqp://[secret]@host and https://[secret]@host/x",
    ),
    (
        "jdbc:postgresql://u:p@h/d",
        "jdbc:postgresql://[secret]@h/d",
    ),
];

#[test]
fn masks_personal_data_and_secrets() {
    for (text, masked) in MASKED {
        assert_eq!(mask(text, LONG), *masked, "{text}");
    }
}

#[test]
fn leaves_the_rest_alone() {
    for text in [
        "",
        "15000 tokens, 1,234,567 rows, 12.5 s, 1e-9, 99.99 %",
        "run 3f2504e0-4f89-41d3-9a0c-0305e82c3301 of run_3f2504e0-4f89-41d3-9a0c-0305e82c3301",
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301-3f2504e0-4f89-41d3-9a0c-0305e82c3302",
        "2024-01-15 10:20:30.123456+00 15000 tokens",
        "2024-01-15T10:20:30Z, 15.01.2024 12345, 01/15/2024 12:00, 2024-01-15 12345",
        "at 10:00:00 +0100, epoch 1700000000, 1700000000000 ms, 1700000000.123456",
        "version 1.2.3, v0.18.1-rc.2, 10.0.0.12:5432, 010.020.030.040",
        "react@18.0.0 lodash@4.17.21, @decorator, a @ b, user@localhost",
        "max_tokens=15000 tokens: 15000 token=15000 total_tokens: 1234567",
        "Unexpected token: identifier, bearer authentication failed, basic authentication",
        "the secretary: Ann; spinning=1; keyJournalEntry; task-management-system; mask-12345678",
        "File \"/usr/lib/python3/dist-packages/agents/execution_context.py\", line 1234, in run",
        "at com.example.OAuth2AuthenticationTokenFilterFactory.apply(Filter.java:101)",
        "https://example.com:8080/path/to/thing?page=2&mail=none",
        "================================================================",
        "4111111111111112 0.4111111111111111 1234 5678 9012 3456",
        "error (404) 2024-01-15, f(12) 345678, 200 300 400, 100-200",
        "gpt-4o-mini-2024-07-18, claude-3-5-sonnet-20241022, pypi-mirror-of-the-company",
        "日本語のテキスト。 Ελληνικά, עברית 🎉",
    ] {
        assert_eq!(mask(text, LONG), text);
    }
}

#[test]
fn masks_before_it_cuts() {
    let text = format!("{} ann@example.com", "x".repeat(195));
    assert_eq!(mask(&text, 200), format!("{} …", "x".repeat(195)));
    assert_eq!(mask("ann@example.com", 7), "[email]");
    assert_eq!(mask("ann@example.com", 6), "…");
    assert_eq!(mask("to ann@example.com and others", 11), "to [email]…");
    assert_eq!(mask("äöü", 2), "ä…");
    assert_eq!(mask("abc", 0), "");
}

/// Each text is built to make a careless scanner go back over what it has read.
#[test]
fn hostile_texts_take_linear_time() {
    for unit in [
        "a",
        "a.",
        "a-",
        "a_1-",
        "1.",
        "1 ",
        "0.1",
        "(1",
        "+1 ",
        "%40",
        "a%40",
        "@",
        "a@",
        "a@a.",
        "://",
        "a://",
        "a:b/",
        "sk-",
        "sk-aaaaaaaaaaaa-",
        "eyJ",
        "password=",
        "password=\"",
        "token='",
        "\\n",
        "BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----",
        "tel: ",
        "bearer ",
        "AKIA",
        "a1B2/",
        "3f2504e0-4f89-41d3-9a0c-0305e82c3301-",
        "ä",
        "ä.",
        "))))",
        "password=)",
        "SG.aaaaaaaaaaaaaaaaaaaa",
    ] {
        let text = unit.repeat(100_000 / unit.len());
        let begun = std::time::Instant::now();
        for max_chars in [200, 10_000_000] {
            let _ = mask(&text, max_chars);
        }
        let seconds = begun.elapsed().as_secs_f64();
        assert!(seconds < 20.0, "{unit}: {seconds} s");
    }
}
