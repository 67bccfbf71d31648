use proptest::prelude::*;

use super::*;
use crate::project::{SecretChange, SecretKey};

fn now() -> Timestamp {
    "2026-11-24T03:00:00.5Z".parse().unwrap()
}

fn identity() -> Identity {
    generate(now()).0
}

fn checkout(values: &[(&str, &str)]) -> Secret {
    Secret {
        name: "checkout-secrets".into(),
        labels: [("claude-manager.io/project".to_owned(), "checkout".to_owned())].into(),
        values: values.iter().map(|(key, value)| ((*key).to_owned(), SecretString::from(*value))).collect(),
        ..Secret::default()
    }
}

fn clear(secret: &Secret) -> Vec<(&str, &str)> {
    secret.values.iter().map(|(key, value)| (key.as_str(), value.expose_secret())).collect()
}

fn change(entries: &[(SecretKey, Option<&str>)]) -> SecretChange {
    entries.iter().map(|(key, value)| (*key, value.map(SecretString::from))).collect()
}

/// The line of `text` that starts with `start`, after its blanks.
fn line<'t>(text: &'t str, start: &str) -> &'t str {
    text.lines().find(|line| line.trim_start().starts_with(start)).unwrap()
}

#[test]
fn a_new_file_shows_names_and_hides_values() {
    let identity = identity();
    let text = encrypt(&checkout(&[("git-token", "hunter2"), ("empty", "")]), &[identity.recipient()], now()).unwrap();

    let shape: Vec<String> = text
        .lines()
        .map(|line| line.split("ENC[").next().unwrap().trim_end().to_owned())
        .filter(|line| !line.starts_with("            "))
        .map(|line| line.replace(&identity.recipient().to_string(), "age1…"))
        .collect();
    insta::assert_snapshot!(shape.join("\n"), @r#"
    apiVersion: v1
    kind: Secret
    metadata:
        name: checkout-secrets
        labels:
            claude-manager.io/project: checkout
    stringData:
        empty: ""
        git-token:
    sops:
        age:
            - enc: |
              recipient: age1…
        encrypted_regex: ^(data|stringData)$
        lastmodified: "2026-11-24T03:00:00Z"
        mac:
        version: 3.9.0
    "#);
    assert!(looks_encrypted(&text));
    let secret = decrypt(&text, &[identity]).unwrap();
    assert_eq!(clear(&secret), [("empty", ""), ("git-token", "hunter2")]);
    assert_eq!((secret.name.as_str(), secret.labels.len()), ("checkout-secrets", 1));
}

#[test]
fn nothing_printable_has_a_secret_in_it() {
    let (identity, file) = generate(now());
    let secret = checkout(&[("git-token", "hunter2")]);
    let private = file.expose_secret().lines().last().unwrap().to_owned();
    for text in [format!("{secret:?}"), format!("{identity:?}"), format!("{file:?}")] {
        assert!(!text.contains("hunter2") && !text.contains(&private), "{text}");
    }
    let error = parse_identities(&SecretString::from(format!("# key\n{private}x\n"))).unwrap_err();
    assert_eq!(error.to_string(), "line 2 is no age private key (AGE-SECRET-KEY-1…); other kinds are not supported");
    assert_eq!(parse_identities(&file).unwrap()[0].recipient(), identity.recipient());
    assert!(parse_identities(&SecretString::from("# nothing\n")).is_err());
}

#[test]
fn a_file_that_was_changed_by_hand_is_refused() {
    let identity = identity();
    let good = encrypt(&checkout(&[("a", "one"), ("b", "two")]), &[identity.recipient()], now()).unwrap();
    let (a, b) = (line(&good, "a:"), line(&good, "b:"));
    let swapped = good.replace(a, &b.replace("b:", "a:"));
    let mac = line(&good, "mac:");
    for (text, error) in [
        (good.replace("checkout-secrets", "other-secrets"), SopsError::Mac),
        (good.replace(&format!("{b}\n"), ""), SopsError::Mac),
        (good.replace("03:00:00Z", "03:00:01Z"), SopsError::Mac),
        (good.replace(mac, "    mac: ''"), SopsError::Mac),
        (swapped, SopsError::Damaged("stringData.a".into())),
        (good.replace(a, "    a: one"), SopsError::InClear("stringData.a".into())),
        (good.replace(a, "    a: 1"), SopsError::InClear("stringData.a".into())),
        (good.replace(a, &a.replace(",tag:", ",tag:A")), SopsError::Damaged("stringData.a".into())),
        (good.replace("kind: Secret", "kind: ConfigMap"), SopsError::Mac),
        (good[..good.find("sops:").unwrap()].to_owned(), SopsError::NotEncrypted),
        ("a: [".to_owned(), SopsError::Yaml(2)),
        ("- a\n".to_owned(), SopsError::NotEncrypted),
        (" ".repeat(MAX_LENGTH + 1), SopsError::TooLarge),
    ] {
        assert_eq!(decrypt(&text, std::slice::from_ref(&identity)).unwrap_err(), error);
        assert!(!error.to_string().contains("one"));
    }
    assert!(!looks_encrypted(&good.replace(a, "    a: one")));
    assert!(!looks_encrypted("kind: Secret\n"));
}

#[test]
fn files_for_others_and_other_services_say_so() {
    let (ours, theirs) = (identity(), identity());
    let text = encrypt(&checkout(&[("a", "one")]), &[theirs.recipient()], now()).unwrap();
    let error = decrypt(&text, std::slice::from_ref(&ours)).unwrap_err();
    assert_eq!(error, SopsError::OtherRecipients(theirs.recipient().to_string()));

    let both = encrypt(&checkout(&[("a", "one")]), &[theirs.recipient(), ours.recipient()], now()).unwrap();
    assert!(decrypt(&both, std::slice::from_ref(&ours)).is_ok() && decrypt(&both, &[theirs]).is_ok());

    let start = text.find("    age:").unwrap();
    let end = text.find("    lastmodified").unwrap();
    for (section, message) in [
        ("    pgp:\n    - fp: x\n    kms: []\n", SopsError::NoAge("pgp".into())),
        ("    kms:\n    - arn: x\n    pgp:\n    - fp: x\n", SopsError::NoAge("kms, pgp".into())),
        ("", SopsError::NoAge("nobody".into())),
    ] {
        let text = format!("{}{section}{}", &text[..start], &text[end..]);
        assert_eq!(decrypt(&text, std::slice::from_ref(&ours)).unwrap_err(), message);
    }
    let groups = text.replace("    age:", "    key_groups: []\n    age:");
    assert!(matches!(decrypt(&groups, std::slice::from_ref(&ours)), Err(SopsError::Metadata(_))));
    assert!(encrypt(&checkout(&[("a", "one")]), &[], now()).is_err());
}

#[test]
fn a_change_touches_its_own_lines_and_the_sum() {
    let identity = [identity()];
    let recipients = [identity[0].recipient()];
    let new = checkout(&[]);
    let run = |existing: Option<&str>, entries: &[(SecretKey, Option<&str>)]| {
        merge(existing, &new, &change(entries), &identity, &recipients, now()).unwrap()
    };
    let token = SecretKey::GitToken;
    let key = SecretKey::AnthropicApiKey;

    assert_eq!(run(None, &[(token, None)]), Merged::Unchanged);
    let Merged::Written(first) = run(None, &[(token, Some("t1")), (key, Some("k1"))]) else { panic!() };
    let first = first.replace("    git-token", "    # ours\n    git-token");
    assert_eq!(run(Some(&first), &[(token, Some("t1"))]), Merged::Unchanged);
    assert_eq!(run(Some(&first), &[(SecretKey::SudoPassword, None)]), Merged::Unchanged);

    let Merged::Written(second) = run(Some(&first), &[(key, Some("k2")), (SecretKey::SudoPassword, Some("s"))]) else {
        panic!()
    };
    let secret = decrypt(&second, &identity).unwrap();
    let expected = [("anthropic-api-key", "k2"), ("git-token", "t1"), ("sudo-password", "s")];
    assert_eq!(clear(&secret), expected);
    let changed: Vec<&str> =
        first.lines().filter(|line| !second.contains(line)).map(|line| &line.trim()[..3]).collect();
    assert_eq!(changed, ["ant", "mac"]);

    let Merged::Written(third) = run(Some(&second), &[(token, None), (SecretKey::SudoPassword, None)]) else {
        panic!()
    };
    assert_eq!(clear(&decrypt(&third, &identity).unwrap()), [("anthropic-api-key", "k2")]);
    assert_eq!(run(Some(&third), &[(key, None)]), Merged::Removed);
}

#[test]
fn a_file_whose_rules_leave_values_in_clear_takes_no_secret() {
    let identity = [identity()];
    let key = DataKey::random();
    let wrapped = identity[0].recipient().wrap(&key).unwrap().replace('\n', "\n        ");
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: x\nsops:\n  age:\n    - recipient: r\n      enc: |\n        \
         {wrapped}\n  lastmodified: \"2026-11-24T03:00:00Z\"\n  mac: x\n  encrypted_suffix: _secret\n"
    );
    let text = merge::signed(&text, &key, now()).unwrap();
    let change = change(&[(SecretKey::GitToken, Some("t"))]);
    let error = merge(Some(&text), &checkout(&[]), &change, &identity, &[], now()).unwrap_err();
    assert_eq!(error, SopsError::WouldBeClear("stringData.git-token".into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn every_value_comes_back(values in prop::collection::btree_map("[-._a-zA-Z0-9]{1,20}", any::<String>(), 0..6)) {
        let identity = identity();
        let secret = Secret {
            values: values.iter().map(|(key, value)| (key.clone(), SecretString::from(value.as_str()))).collect(),
            ..checkout(&[])
        };
        let text = encrypt(&secret, &[identity.recipient()], now()).unwrap();
        let read = decrypt(&text, &[identity]).unwrap();
        let expected: Vec<(&str, &str)> = values.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        prop_assert_eq!(clear(&read), expected);
    }
}
