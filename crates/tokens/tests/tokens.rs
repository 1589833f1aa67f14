//! What verifies, and what does not whatever is done to it.

#![allow(clippy::unwrap_used, reason = "tests: inputs are known")]

use jsonwebtoken::{Algorithm as Alg, EncodingKey, Header, encode};
use proptest::prelude::*;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use serde_json::{Value, json};
use tokens::{
    Algorithm, Claims, Key, KeyError, LEEWAY_SECONDS, Level, MAX_TOKEN_BYTES, Refusal, Trusted,
    issue, verify,
};
use uuid::Uuid;

const NOW: i64 = 1_800_000_000;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const OTHER_SECRET: &[u8] = b"0123456789abcdef0123456789abcdeF";
const RSA_PUBLIC: &str = include_str!("keys/rsa.pub");
const EC_PUBLIC: &str = include_str!("keys/ec.pub");

fn rsa_signer() -> EncodingKey {
    let key = rsa::RsaPrivateKey::from_pkcs8_pem(include_str!("keys/rsa.pem")).unwrap();
    EncodingKey::from_rsa_der(key.to_pkcs1_der().unwrap().as_bytes())
}

fn ec_signer() -> EncodingKey {
    let der = p256::pkcs8::SecretDocument::from_pem(include_str!("keys/ec.pem")).unwrap();
    EncodingKey::from_ec_der(der.1.as_bytes())
}

fn claims() -> Value {
    json!({
        "sub": "20000000-0000-4000-8000-000000000001",
        "email": "ann@example.com",
        "workspaceId": "10000000-0000-4000-8000-000000000001",
        "workspaces": ["10000000-0000-4000-8000-000000000002", "10000000-0000-4000-8000-000000000001"],
        "role": "member",
        "iat": NOW,
        "exp": NOW + 900,
        "jti": "one",
    })
}

/// The claims above, with some of them replaced; null takes one away.
fn claims_with(changes: &Value) -> Value {
    let mut all = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            all.as_object_mut().unwrap().remove(name);
        } else {
            all[name] = value.clone();
        }
    }
    all
}

fn hs256(claims: &Value) -> String {
    encode(
        &Header::new(Alg::HS256),
        claims,
        &EncodingKey::from_secret(SECRET),
    )
    .unwrap()
}

fn trust(key: Key) -> Vec<Trusted> {
    vec![Trusted {
        keys: vec![key],
        issuer: None,
        audience: None,
    }]
}

fn secret() -> Vec<Trusted> {
    trust(Key::from_secret(SECRET, None).unwrap())
}

fn refusal(token: &str, trusted: &[Trusted]) -> &'static str {
    verify(token, trusted, NOW).map_or_else(|refusal| refusal.code(), |_| "accepted")
}

#[test]
fn each_algorithm_verifies_its_own() {
    let cases = [
        (
            Alg::HS256,
            EncodingKey::from_secret(SECRET),
            Key::from_secret(SECRET, None),
        ),
        (
            Alg::RS256,
            rsa_signer(),
            Key::from_pem(Algorithm::Rs256, RSA_PUBLIC, None),
        ),
        (
            Alg::ES256,
            ec_signer(),
            Key::from_pem(Algorithm::Es256, EC_PUBLIC, None),
        ),
    ];
    for (signed_by, (alg, signer, _)) in cases.iter().enumerate() {
        let token = encode(&Header::new(*alg), &claims(), signer).unwrap();
        for (verified_by, (_, _, key)) in cases.iter().enumerate() {
            let expected = if signed_by == verified_by {
                "accepted"
            } else {
                "wrong_algorithm"
            };
            assert_eq!(refusal(&token, &trust(key.clone().unwrap())), expected);
        }
    }
    let all = cases.map(|(_, _, key)| trust(key.unwrap()).remove(0));
    let token = encode(&Header::new(Alg::ES256), &claims(), &ec_signer()).unwrap();
    let verified = verify(&token, &all, NOW).unwrap();
    assert_eq!(verified.origin, 2);
    assert_eq!(verified.claims.role, Level::Member);
    assert_eq!(
        verified.claims.all_workspaces(),
        [
            "10000000-0000-4000-8000-000000000001",
            "10000000-0000-4000-8000-000000000002"
        ]
        .map(|id| Uuid::parse_str(id).unwrap())
    );
}

#[test]
fn a_public_key_is_no_secret() {
    let rsa = trust(Key::from_pem(Algorithm::Rs256, RSA_PUBLIC, None).unwrap());
    for text in [RSA_PUBLIC, RSA_PUBLIC.trim()] {
        let signer = EncodingKey::from_secret(text.as_bytes());
        let token = encode(&Header::new(Alg::HS256), &claims(), &signer).unwrap();
        assert_eq!(refusal(&token, &rsa), "wrong_algorithm");
        // Nor with the header of the algorithm that the key is for.
        let signature = token.rsplit_once('.').unwrap().1;
        let honest = encode(&Header::new(Alg::RS256), &claims(), &rsa_signer()).unwrap();
        let forged = format!("{}.{signature}", honest.rsplit_once('.').unwrap().0);
        assert_eq!(refusal(&forged, &rsa), "wrong_signature");
    }
}

/// `{"alg":"none"}` and its spellings, with and without a signature.
#[test]
fn no_algorithm_is_no_token() {
    // {"alg":"none"}, {"alg":"None"}, {"typ":"JWT"}, {"alg":"HS256","alg":"none"}
    for header in [
        "eyJhbGciOiJub25lIn0",
        "eyJhbGciOiJOb25lIn0",
        "eyJ0eXAiOiJKV1QifQ",
        "eyJhbGciOiJIUzI1NiIsImFsZyI6Im5vbmUifQ",
    ] {
        let honest = hs256(&claims());
        let parts: Vec<&str> = honest.split('.').collect();
        for forged in [
            format!("{header}.{}.", parts[1]),
            format!("{header}.{}", parts[1]),
            format!("{header}.{}.{}", parts[1], parts[2]),
        ] {
            assert_eq!(refusal(&forged, &secret()), "malformed", "{forged}");
        }
    }
}

#[test]
fn other_algorithms_of_the_family_are_refused() {
    for (alg, signer, trusted) in [
        (Alg::HS384, EncodingKey::from_secret(SECRET), secret()),
        (Alg::HS512, EncodingKey::from_secret(SECRET), secret()),
        (
            Alg::PS256,
            rsa_signer(),
            trust(Key::from_pem(Algorithm::Rs256, RSA_PUBLIC, None).unwrap()),
        ),
        (
            Alg::RS512,
            rsa_signer(),
            trust(Key::from_pem(Algorithm::Rs256, RSA_PUBLIC, None).unwrap()),
        ),
    ] {
        let token = encode(&Header::new(alg), &claims(), &signer).unwrap();
        assert_eq!(refusal(&token, &trusted), "wrong_algorithm");
    }
}

#[test]
fn headers_that_ask_for_more_are_refused() {
    let signer = EncodingKey::from_secret(SECRET);
    for change in [
        |h: &mut Header| h.crit = Some(vec!["b64".to_owned()]),
        |h: &mut Header| h.crit = Some(vec![]),
        |h: &mut Header| h.zip = serde_json::from_value(json!("DEF")).unwrap(),
        |h: &mut Header| h.typ = Some("logout+jwt".to_owned()),
    ] {
        let mut header = Header::new(Alg::HS256);
        change(&mut header);
        let token = encode(&header, &claims(), &signer).unwrap();
        assert_eq!(refusal(&token, &secret()), "unsupported_header");
    }
    for typ in [None, Some("jwt"), Some("at+jwt")] {
        let mut header = Header::new(Alg::HS256);
        header.typ = typ.map(ToOwned::to_owned);
        let token = encode(&header, &claims(), &signer).unwrap();
        assert_eq!(refusal(&token, &secret()), "accepted");
    }
}

#[test]
fn times_have_a_small_leeway() {
    for (name, seconds, expected) in [
        ("exp", -LEEWAY_SECONDS, "expired"),
        ("exp", 1 - LEEWAY_SECONDS, "accepted"),
        ("nbf", LEEWAY_SECONDS, "accepted"),
        ("nbf", LEEWAY_SECONDS + 1, "not_yet_valid"),
        ("iat", LEEWAY_SECONDS, "accepted"),
        ("iat", LEEWAY_SECONDS + 1, "not_yet_valid"),
    ] {
        let token = hs256(&claims_with(&json!({name: NOW + seconds})));
        assert_eq!(refusal(&token, &secret()), expected, "{name} {seconds}");
    }
    let fraction = hs256(&claims_with(&json!({"exp": 1_800_000_000.5})));
    assert_eq!(verify(&fraction, &secret(), NOW).unwrap().claims.exp, NOW);
}

#[test]
fn claims_have_their_form() {
    for changes in [
        json!({"exp": null}),
        json!({"exp": "1900000000"}),
        json!({"exp": 1e300}),
        json!({"exp": -1}),
        json!({"nbf": "now"}),
        json!({"sub": null}),
        json!({"sub": "ann"}),
        json!({"role": null}),
        json!({"role": "god"}),
        json!({"role": "Owner"}),
        json!({"role": ["owner"]}),
        json!({"workspaces": "all"}),
        json!({"workspaces": ["*"]}),
        json!({"workspaceId": "' OR true --"}),
        json!({"permissions": "everything"}),
        json!({"iss": ["a", "b"]}),
    ] {
        assert_eq!(
            refusal(&hs256(&claims_with(&changes)), &secret()),
            "invalid_claims",
            "{changes}"
        );
    }
    for no_object in [json!([]), json!("text"), json!(null), json!(17)] {
        assert_eq!(refusal(&hs256(&no_object), &secret()), "invalid_claims");
    }
    // A claim that comes twice: whose value would count?
    let text = claims().to_string().replacen('{', r#"{"role":"owner","#, 1);
    let twice = serde_json::value::RawValue::from_string(text).unwrap();
    let token = encode(
        &Header::new(Alg::HS256),
        &twice,
        &EncodingKey::from_secret(SECRET),
    )
    .unwrap();
    assert_eq!(refusal(&token, &secret()), "invalid_claims");
    // What is not known does not matter.
    let more = claims_with(&json!({"locale": "de", "groups": [1, 2], "sid": "a"}));
    assert_eq!(refusal(&hs256(&more), &secret()), "accepted");
}

#[test]
fn issuer_and_audience_are_those_of_the_key() {
    for (iss, aud, issuer, audience, expected) in [
        (
            json!("us"),
            json!("here"),
            Some("us"),
            Some("here"),
            "accepted",
        ),
        (
            json!("us"),
            json!(["there", "here"]),
            Some("us"),
            Some("here"),
            "accepted",
        ),
        (json!("us"), json!(null), None, None, "accepted"),
        (
            json!("them"),
            json!("here"),
            Some("us"),
            Some("here"),
            "wrong_issuer",
        ),
        (
            json!(null),
            json!("here"),
            Some("us"),
            Some("here"),
            "wrong_issuer",
        ),
        (
            json!("us"),
            json!("there"),
            Some("us"),
            Some("here"),
            "wrong_audience",
        ),
        (
            json!("us"),
            json!(["there"]),
            Some("us"),
            Some("here"),
            "wrong_audience",
        ),
        (
            json!("us"),
            json!([]),
            Some("us"),
            Some("here"),
            "wrong_audience",
        ),
        (
            json!("us"),
            json!(null),
            Some("us"),
            Some("here"),
            "wrong_audience",
        ),
        (
            json!("us"),
            json!("here"),
            Some("us"),
            None,
            "wrong_audience",
        ),
    ] {
        let token = hs256(&claims_with(&json!({"iss": iss, "aud": aud})));
        let mut trusted = secret();
        trusted[0].issuer = issuer.map(ToOwned::to_owned);
        trusted[0].audience = audience.map(ToOwned::to_owned);
        assert_eq!(refusal(&token, &trusted), expected, "{iss} {aud}");
    }
    // The key of one issuer signs nothing for another.
    let mut two = vec![
        secret().remove(0),
        trust(Key::from_secret(OTHER_SECRET, None).unwrap()).remove(0),
    ];
    two[0].issuer = Some("us".to_owned());
    two[1].issuer = Some("them".to_owned());
    assert_eq!(
        refusal(&hs256(&claims_with(&json!({"iss": "us"}))), &two),
        "accepted"
    );
    assert_eq!(
        refusal(&hs256(&claims_with(&json!({"iss": "them"}))), &two),
        "wrong_issuer"
    );
}

#[test]
fn a_key_id_chooses_the_key() {
    let key = |secret, kid: &str| Key::from_secret(secret, Some(kid.to_owned())).unwrap();
    let trusted = vec![Trusted {
        keys: vec![key(OTHER_SECRET, "old"), key(SECRET, "new")],
        issuer: None,
        audience: None,
    }];
    for (kid, expected) in [
        (Some("new"), "accepted"),
        (None, "accepted"),
        (Some("old"), "wrong_signature"),
        (Some("unknown"), "unknown_key"),
    ] {
        let mut header = Header::new(Alg::HS256);
        header.kid = kid.map(ToOwned::to_owned);
        let token = encode(&header, &claims(), &EncodingKey::from_secret(SECRET)).unwrap();
        assert_eq!(refusal(&token, &trusted), expected, "{kid:?}");
    }
    assert_eq!(refusal(&hs256(&claims()), &[]), "unknown_key");
}

#[test]
fn jwks() {
    let set = json!({"keys": [
        {"kty": "RSA", "kid": "r", "n": modulus(), "e": "AQAB", "use": "sig", "alg": "RS256"},
        {"kty": "RSA", "kid": "pss", "n": modulus(), "e": "AQAB", "alg": "PS256"},
        {"kty": "RSA", "kid": "enc", "n": modulus(), "e": "AQAB", "use": "enc"},
        {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    ]});
    let keys = Key::from_jwks(&set.to_string()).unwrap();
    assert_eq!(keys.len(), 1);
    let trusted = vec![Trusted {
        keys,
        issuer: None,
        audience: None,
    }];
    for (kid, expected) in [
        ("r", "accepted"),
        ("pss", "unknown_key"),
        ("enc", "unknown_key"),
    ] {
        let mut header = Header::new(Alg::RS256);
        header.kid = Some(kid.to_owned());
        let token = encode(&header, &claims(), &rsa_signer()).unwrap();
        assert_eq!(refusal(&token, &trusted), expected);
    }
    for (document, expected) in [
        ("", KeyError::NotKeySet),
        ("{}", KeyError::NotKeySet),
        (r#"{"keys": 1}"#, KeyError::NotKeySet),
        (r#"{"keys": []}"#, KeyError::EmptyKeySet),
        (
            r#"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}"#,
            KeyError::RsaBits(17),
        ),
        (
            r#"{"keys": [{"kty": "RSA", "n": "~", "e": "AQAB"}]}"#,
            KeyError::NotKeySet,
        ),
        (
            r#"{"keys": [{"kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB"}]}"#,
            KeyError::NotKeySet,
        ),
        (
            r#"{"keys": [{"kty": "EC", "crv": "P-384", "x": "AQAB", "y": "AQAB"}]}"#,
            KeyError::EmptyKeySet,
        ),
        (
            r#"{"keys": [{"kty": "oct", "k": "AQAB"}]}"#,
            KeyError::SecretInKeySet,
        ),
        (
            r#"{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB"}]}"#,
            KeyError::SecretInKeySet,
        ),
    ] {
        assert_eq!(
            Key::from_jwks(document).unwrap_err(),
            expected,
            "{document}"
        );
    }
    let many = json!({"keys": vec![json!({"kty": "EC"}); 101]}).to_string();
    assert_eq!(
        Key::from_jwks(&many).unwrap_err(),
        KeyError::TooManyKeys(101)
    );
}

/// `n` of the RSA key as a JWKS document has it.
fn modulus() -> String {
    let key = rsa::RsaPrivateKey::from_pkcs8_pem(include_str!("keys/rsa.pem")).unwrap();
    let der = EncodingKey::from_rsa_der(key.to_pkcs1_der().unwrap().as_bytes());
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&der, Alg::RS256).unwrap();
    serde_json::to_value(jwk).unwrap()["n"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn what_is_no_key() {
    use KeyError::{NotPublicKey, PrivateKey, RsaBits, WeakSecret};
    assert_eq!(
        Key::from_secret(&SECRET[1..], None).unwrap_err(),
        WeakSecret(31)
    );
    assert_eq!(
        issue(&issued(), &SECRET[1..], None).unwrap_err(),
        WeakSecret(31)
    );
    for (algorithm, pem, expected) in [
        (
            Algorithm::Rs256,
            include_str!("keys/weak_rsa.pub"),
            RsaBits(1024),
        ),
        (Algorithm::Rs256, include_str!("keys/rsa.pem"), PrivateKey),
        (Algorithm::Es256, include_str!("keys/ec.pem"), PrivateKey),
        (
            Algorithm::Es256,
            include_str!("keys/p384.pub"),
            NotPublicKey,
        ),
        (Algorithm::Es256, RSA_PUBLIC, NotPublicKey),
        (Algorithm::Rs256, EC_PUBLIC, NotPublicKey),
        (Algorithm::Rs256, "", NotPublicKey),
        (Algorithm::Hs256, RSA_PUBLIC, NotPublicKey),
    ] {
        assert_eq!(Key::from_pem(algorithm, pem, None).unwrap_err(), expected);
    }
    let shown = format!("{:?}", Key::from_secret(SECRET, None).unwrap());
    assert!(
        !shown.contains("0123") && !shown.contains("48, 49"),
        "{shown}"
    );
}

#[test]
fn size_and_form() {
    let long = "x".repeat(MAX_TOKEN_BYTES);
    let token = hs256(&claims_with(&json!({"email": long})));
    assert_eq!(refusal(&token, &secret()), "too_long");
    let honest = hs256(&claims());
    for (garbage, expected) in [
        (String::new(), "malformed"),
        ("..".to_owned(), "malformed"),
        ("a.b.c".to_owned(), "malformed"),
        (format!("{honest}."), "malformed"),
        (format!("{honest}.x"), "malformed"),
        (format!(" {honest}"), "malformed"),
        (format!("{honest}\n"), "malformed"),
        (format!("{honest}="), "malformed"),
        (format!("Bearer {honest}"), "malformed"),
        (honest.clone(), "accepted"),
    ] {
        assert_eq!(refusal(&garbage, &secret()), expected, "{garbage:?}");
    }
    for end in 0..honest.len() {
        assert_ne!(refusal(&honest[..end], &secret()), "accepted");
    }
}

#[test]
fn a_token_without_a_name_is_named_by_what_was_signed() {
    let verified = |changes| verify(&hs256(&claims_with(&changes)), &secret(), NOW).unwrap();
    assert_eq!(verified(json!({})).token_id, "one");
    let unnamed = verified(json!({"jti": null})).token_id;
    assert!(
        unnamed.starts_with("sha256:") && unnamed.len() == 71,
        "{unnamed}"
    );
    assert_eq!(verified(json!({"jti": null})).token_id, unnamed);
    assert_eq!(verified(json!({"jti": ""})).token_id.len(), 71);
    assert_ne!(
        verified(json!({"jti": null, "exp": NOW + 901})).token_id,
        unnamed
    );
}

#[test]
fn refusals_tell_the_bearer_of_an_authentic_token_only() {
    assert!(Refusal::Expired.is_authentic() && Refusal::Claims(String::new()).is_authentic());
    assert!(!Refusal::WrongSignature.is_authentic());
    let said: Vec<String> = [
        Refusal::TooLong,
        Refusal::Malformed,
        Refusal::UnsupportedHeader,
        Refusal::UnknownKey,
        Refusal::WrongAlgorithm,
        Refusal::WrongSignature,
    ]
    .iter()
    .map(ToString::to_string)
    .collect();
    assert!(said.iter().all(|message| *message == said[0]));
}

fn issued() -> Claims {
    serde_json::from_value(claims()).unwrap()
}

fn any_claims() -> impl Strategy<Value = Claims> {
    (
        any::<u128>(),
        proptest::option::of(".{0,20}"),
        proptest::collection::vec(any::<u128>(), 0..20),
        prop_oneof![
            Just(Level::Viewer),
            Just(Level::Member),
            Just(Level::Admin),
            Just(Level::Owner)
        ],
        proptest::option::of(proptest::collection::vec("[a-z_]{1,9}", 0..5)),
        NOW - 100..NOW + LEEWAY_SECONDS,
        NOW..NOW + 1_000_000,
        proptest::option::of("[ -~]{1,30}"),
    )
        .prop_map(
            |(sub, email, workspaces, role, permissions, iat, exp, jti)| Claims {
                sub: Uuid::from_u128(sub),
                email,
                workspace_id: workspaces.first().map(|&id| Uuid::from_u128(id)),
                workspaces: workspaces.into_iter().map(Uuid::from_u128).collect(),
                role,
                permissions,
                iat: Some(iat),
                nbf: None,
                exp,
                jti,
                sid: None,
                iss: None,
                aud: None,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_issued_verifies(claims in any_claims()) {
        let token = issue(&claims, SECRET, Some("k")).unwrap();
        let verified = verify(&token, &secret(), NOW).unwrap();
        prop_assert_eq!(verified.claims, claims);
        prop_assert_eq!(refusal(&token, &trust(Key::from_secret(OTHER_SECRET, None).unwrap())), "wrong_signature");
    }

    /// Any other text than the token itself.
    #[test]
    fn a_changed_token_never_verifies(claims in any_claims(), place in any::<prop::sample::Index>(), bit in 0..8u32) {
        let token = issue(&claims, SECRET, None).unwrap();
        let mut bytes = token.into_bytes();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert_ne!(refusal(&changed, &secret()), "accepted");
        }
    }

    #[test]
    fn garbage_never_verifies_and_never_panics(text in ".{0,200}", parts in "[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}") {
        prop_assert_ne!(refusal(&text, &secret()), "accepted");
        prop_assert_ne!(refusal(&parts, &secret()), "accepted");
        prop_assert!(Key::from_jwks(&text).is_err());
        prop_assert!(Key::from_pem(Algorithm::Rs256, &text, None).is_err());
    }
}

/// Public-key signatures are slow without optimisation, so every bit of one token, in steps.
#[test]
fn a_changed_public_key_token_never_verifies() {
    for (alg, signer, key) in [
        (
            Alg::RS256,
            rsa_signer(),
            Key::from_pem(Algorithm::Rs256, RSA_PUBLIC, None).unwrap(),
        ),
        (
            Alg::ES256,
            ec_signer(),
            Key::from_pem(Algorithm::Es256, EC_PUBLIC, None).unwrap(),
        ),
    ] {
        let token = encode(&Header::new(alg), &claims(), &signer).unwrap();
        let trusted = trust(key);
        assert_eq!(refusal(&token, &trusted), "accepted");
        for place in (0..token.len()).step_by(7).chain([token.len() - 1]) {
            let mut bytes = token.clone().into_bytes();
            bytes[place] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert_ne!(refusal(&changed, &trusted), "accepted", "byte {place}");
        }
    }
}
