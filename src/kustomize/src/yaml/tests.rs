use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn value(text: &str) -> Value {
    read_one(text.as_bytes()).unwrap().unwrap().to_json().unwrap()
}

#[test]
fn plain_scalars_resolve_as_kubernetes_tools_resolve_them() {
    for (text, expected) in [
        ("true", json!(true)),
        ("yes", json!("yes")),
        ("on", json!("on")),
        ("~", json!(null)),
        ("0777", json!(511)),
        ("0o17", json!(15)),
        ("0x1F", json!(31)),
        ("0b11", json!(3)),
        ("1_000", json!(1000)),
        ("-5", json!(-5)),
        ("1e3", json!(1000)),
        ("1.0", json!(1)),
        ("1.50", json!(1.5)),
        (".5", json!(0.5)),
        ("09", json!(9)),
        ("18446744073709551615", json!(u64::MAX)),
        ("2020-01-01", json!("2020-01-01T00:00:00Z")),
        ("2020-1-2t3:04:5.10+02:00", json!("2020-01-02T03:04:05.1+02:00")),
        ("2020-02-30", json!("2020-02-30")),
        ("2020-01-01 10:00:00 Z", json!("2020-01-01 10:00:00 Z")),
        ("'2020-01-01'", json!("2020-01-01")),
        ("12:30", json!("12:30")),
        ("0x", json!("0x")),
        ("'1'", json!("1")),
        ("!!str 1", json!("1")),
        ("!!binary aGk=", json!("hi")),
        ("1.2.3", json!("1.2.3")),
        ("1e400", json!("1e400")),
        ("! 5", json!(5)),
        ("[{x: }, ~]", json!([{"x": ""}, null])),
        ("", json!(null)),
        (">-\n  x\n   y\n  z", json!("x\n\n y\nz")),
        (">+\n  x\n\n", json!("x\n\n\n")),
        (">\n  x\n  y\n\n  z\n", json!("x y\nz\n")),
    ] {
        assert_eq!(value(&format!("a: {text}")), json!({"a": expected}), "{text}");
    }
}

#[test]
fn nodes_keep_text_style_and_place() {
    let node = read_one(b"a:\n  - 'x'\n  - 007\n").unwrap().unwrap();
    let items = node.get("a").unwrap().items().unwrap();
    assert_eq!((items[0].style, items[0].mark), (Style::SingleQuoted, Mark { line: 2, column: 5 }));
    assert_eq!((items[1].text(), items[1].mark.line), (Some("007"), 3));
}

#[test]
fn anchors_are_copied_and_merge_keys_carried_out() {
    let text = "base: &b {a: 1, b: 2}\nx:\n  <<: *b\n  b: 3\ny: *b\n";
    assert_eq!(value(text), json!({"base": {"a": 1, "b": 2}, "x": {"a": 1, "b": 3}, "y": {"a": 1, "b": 2}}));
}

/// Stock kustomize reads a key without a text here, and nothing of the second document.
#[test]
fn what_readers_take_for_something_else_or_pass_over_is_refused() {
    for (text, line) in
        [("a:\n  &b: c\n", 2), ("&a/b c: d\n", 1), ("a: 1\n...\nb: 2\n", 3), ("a: 1\n... # end\n- b\n", 3)]
    {
        assert_eq!(read(text.as_bytes()).unwrap_err().line, line, "{text}");
    }
    for text in [
        "a: &b-1_C d\n",
        "a: 1\n...\n# end\n\n---\nb: 2\n",
        "a: ...\nb: 2\n",
        "a: |\n  ...\nb: 2\n",
        "...\n---\nb: 1\n",
    ] {
        assert!(read(text.as_bytes()).is_ok(), "{text}");
    }
}

#[test]
fn hostile_documents_are_errors_with_a_place() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let item = format!("*a{}, ", level - 1);
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", item.repeat(10)));
    }
    let deep_flow = "[".repeat(100_000);
    let deep_block: String = (0..2000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    for (text, part) in [
        (laughs.as_str(), "expand to more than"),
        (&deep_flow, ""),
        (&deep_block, ""),
        ("a: &a [*a]", "inside the node"),
        ("a: *b", ""),
        ("a: 1\nb: 2\na: 3", "second time"),
        ("a: 'x", ""),
        ("<<: 5", "merge key"),
        ("a: 1\n--- {b: 1}\n", "behind ---"),
        ("a: 'x\u{2028}y'\n", "line separator"),
    ] {
        let error = read(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.line >= 1);
    }
    assert_eq!(read(b"a: 1\nb: \xff").unwrap_err().line, 2);
    assert_eq!(read(b"a: 1\nb: 2\na: 3").unwrap_err().line, 3);
    assert!(read_one(b"a: 1\n---\nb: 1\n").is_err());
    // At the top any plain text is a key, as for the original; below it only strings are.
    assert_eq!(value("1: x"), json!({"1": "x"}));
    assert!(read_one(b"a: {1: x}").unwrap().unwrap().to_json().is_err());
    assert!(read_one(b"a: .inf").unwrap().unwrap().to_json().is_err());
}

/// The expected text is what `kubectl kustomize` v5.5.0 prints.
#[test]
fn values_are_written_as_kustomize_writes_them() {
    let input = json!({"data": {
        "_x": "", "1": "1e3", "B": "yes", "a-b": "a: b", "a.b": "*x", "a_b": "0o14", "a2": "2020-01-01", "a10": "null",
        "aa": "line\nother\n", "ab": "x \ny\n", "ac": "\u{1F600}", "ad": "tab\there", "ae": " lead", "af": "1:30",
        "ag": "no end\nhere", "ah": "two\n\n", "ai": "  indented\nx", "aj": "it's", "ak": "'", "al": "-", "am": "- x", "an": "<<",
        "ao": "a very long text that goes on and on until it is longer than eighty columns and then some more",
        "ap": "a: very long text that goes on and on until it is longer than eighty columns and then some more",
        "aq": "# c", "ar": "x #c", "as": "x#c", "at": "1_000", "au": "0x1F", "av": ".5", "aw": "=", "ax": "@", "ay": "a\\b\"c",
    }, "list": [[1, 2], {"a": {}, "b": []}, [{"x": 1}]], "n": [1.5, 1234567.5, 1e21, 0.00001, -3]});
    let expected = r#"data:
  _x: ""
  "1": "1e3"
  B: "yes"
  a-b: 'a: b'
  a.b: '*x'
  a_b: "0o14"
  a2: "2020-01-01"
  a10: "null"
  aa: |
    line
    other
  ab: "x \ny\n"
  ac: "\U0001F600"
  ad: "tab\there"
  ae: ' lead'
  af: "1:30"
  ag: |-
    no end
    here
  ah: |+
    two

  ai: |2-
      indented
    x
  aj: it's
  ak: ''''
  al: '-'
  am: '- x'
  an: <<
  ao: a very long text that goes on and on until it is longer than eighty columns
    and then some more
  ap: 'a: very long text that goes on and on until it is longer than eighty columns
    and then some more'
  aq: '# c'
  ar: 'x #c'
  as: x#c
  at: "1_000"
  au: "0x1F"
  av: ".5"
  aw: =
  ax: '@'
  ay: a\b"c
list:
- - 1
  - 2
- a: {}
  b: []
- - x: 1
"n":
- 1.5
- 1.2345675e+06
- 1e+21
- 1e-05
- -3
"#;
    assert_eq!(emit(&input), expected);
}

#[test]
fn keys_stand_in_natural_order() {
    let mut keys = vec!["aa", "a10", "a2", "a_b", "a.b", "a-b", "B", "1", "_x", "a", "a02", "10", "9"];
    keys.sort_by(|a, b| natural_order(a, b));
    assert_eq!(keys, ["_x", "1", "9", "10", "B", "a", "a-b", "a.b", "a_b", "a2", "a02", "a10", "aa"]);
}

/// Without the two separators that are written as kustomize writes them, and that no two readers agree about.
fn any_text(pattern: &'static str) -> impl Strategy<Value = String> {
    pattern.prop_map(|text| text.replace(['\u{2028}', '\u{2029}'], "x"))
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e9f64..1e9).prop_map(|number| json!(number)),
        "[ -~\n\t]{0,100}".prop_map(Value::from),
        any_text("(?s).{0,20}").prop_map(Value::from),
        "[-+0-9._eExXob:TZ ]{0,12}".prop_map(Value::from),
        "([a-z'\"#:,]{1,12} ){0,20}[a-z]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(any_text("(?s).{0,12}|[a-z0-9./]{1,40}|[a-z ]{120,140}"), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Whole floats are written as integers.
fn normal(value: &Value) -> Value {
    match value {
        Value::Number(number) => number
            .as_f64()
            .filter(|_| number.is_f64())
            .and_then(scalar::float_to_json)
            .map_or(value.clone(), Value::Number),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(pairs) => Value::Object(pairs.iter().map(|(key, value)| (key.clone(), normal(value))).collect()),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_the_same_value(map in prop::collection::btree_map("[a-z]{1,5}", any_value(), 1..4)) {
        let value = normal(&Value::Object(map.into_iter().collect()));
        let text = emit(&value);
        let back = read_one(text.as_bytes()).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(back.map(|node| node.to_json()), Some(Ok(value)), "{}", text);
    }

    #[test]
    fn reading_any_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn reading_anything_that_looks_like_yaml_never_panics(text in "[-\\[\\]{}:,&*!|>'\"%@#? a1\n\t<.~]{0,80}") {
        for node in read(text.as_bytes()).unwrap_or_default() {
            if let Ok(value) = node.to_json() {
                let _ = emit(&value);
            }
        }
    }
}
