//! Fields and Secrets in, keys of `zoo.cfg` or a condition out.

use serde_json::{Value, json};

use super::*;

fn check(spec: Value, secrets: &[(&str, &[(&str, &str)])]) -> Result<Security, String> {
    let spec: EnsembleSpec = serde_json::from_value(spec).expect("a spec");
    let values = |keys: &[(&str, &str)]| {
        keys.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    };
    let secrets = secrets.iter().map(|(name, keys)| ((*name).to_owned(), values(keys))).collect();
    security(&spec, &secrets, None).map_err(|health| match health {
        Health::Stalled { message, .. } => message,
        other => panic!("nobody is told to do anything: {other:?}"),
    })
}

fn text<'a>(security: &'a Security, file: &str) -> &'a str {
    std::str::from_utf8(&security.contents[file]).expect("text")
}

#[test]
fn what_cannot_be_is_told_with_the_remedy() {
    let tls = json!({ "members": 1, "tls": { "client": { "secretRef": { "name": "s" } } } });
    let users = json!({ "authentication": { "saslUsers": { "name": "s" } } });
    let peers = json!({ "authentication": { "peers": { "secretRef": { "name": "s" } } } });
    let nobody = json!({ "authentication": { "required": true } });
    let none: &[(&str, &[(&str, &str)])] = &[];
    for (spec, secrets, words) in [
        (&tls, none, "Secret s that spec.tls.client.secretRef names does not exist; create it"),
        (&tls, &[("s", &[("tls.crt", "x")])], "has no key tls.key; add it"),
        (&tls, &[("s", &[("tls.crt", "x"), ("tls.key", "y")])], "tls.crt holds no certificate"),
        (&json!({ "tls": { "peer": {} } }), none, "kubectl create secret generic"),
        (&json!({ "ports": { "secureClient": 2281 } }), none, "give spec.tls.client.secretRef"),
        (&users, &[("s", &[])], "has no users; add one"),
        (&users, &[("s", &[("bob", "a\nb")])], "the password of bob"),
        (&peers, &[("s", &[("a", "x"), ("b", "y")])], "has the users a, b; name the one"),
        (&nobody, none, "give spec.authentication.saslUsers"),
    ] {
        let told = check(spec.clone(), secrets).expect_err(words);
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn users_are_in_a_file_that_other_users_change() {
    let spec = json!({ "authentication": {
        "required": true,
        "saslUsers": { "name": "users" },
        "peers": { "secretRef": { "name": "peers" } },
    } });
    let made = |word| {
        let users: &[(&str, &str)] = &[("bob", word)];
        check(spec.clone(), &[("users", users), ("peers", &[("m", "w\n")])]).expect("it can be")
    };
    let (one, other) = (made("b\"o"), made("c"));
    let jaas = one.jaas.clone().expect("a file");
    assert!(text(&one, &jaas).contains("Server {\n"), "{}", text(&one, &jaas));
    assert!(text(&one, &jaas).contains("user_bob=\"b\\\"o\";"), "{}", text(&one, &jaas));
    assert!(text(&one, &jaas).contains("username=\"m\"\n  password=\"w\";"));
    assert_ne!(one.jaas, other.jaas);
    assert_eq!((one.peers.sasl, one.peers.logins.len()), (3, 1));
    assert_eq!(one.peers.login.as_ref(), one.peers.logins.first());
    assert!(one.config.contains(&("enforce.auth.schemes".into(), "sasl".into())));
}
