//! YAML as people write it: every style of scalar and collection, comments, anchors, merge keys.

use super::dice::Dice;
use super::objects::VALUES;

const WORDS: [&str; 30] = [
    "a",
    "b c",
    "x: y",
    "- z",
    "#no",
    "it's",
    "\"q\"",
    "1",
    "0.50",
    "true",
    "null",
    "é",
    "日本",
    "\u{1F600}",
    "a,b",
    "{x}",
    "[y]",
    "*s",
    "&t",
    "!u",
    "%v",
    "@w",
    "`x`",
    "|",
    ">",
    "?",
    "$(NAME)",
    "a  b",
    "~",
    "=",
];

/// A word or some, with what readers and writers have rules for.
fn words(dice: &mut Dice, most: usize) -> String {
    let count = 1 + dice.below(most);
    (0..count).map(|_| dice.pick(&WORDS)).collect::<Vec<_>>().join(" ")
}

/// A scalar on one line.
pub(crate) fn scalar(dice: &mut Dice) -> String {
    match dice.below(10) {
        0..=3 => dice.pick(&VALUES).to_owned(),
        4 => dice
            .pick(&[
                "0b11",
                "1e-7",
                "1.5E+3",
                "123456789012345678901",
                "-9223372036854775808",
                "0x",
                "1__0",
                "00",
                "-.5",
                "1.",
                "+.inf",
            ])
            .to_owned(),
        5 => format!("'{}'", words(dice, 4).replace('\'', "''")),
        6 | 7 => {
            let text = words(dice, 12).replace('\\', "\\\\").replace('"', "\\\"");
            let end =
                dice.pick(&["", "", "\\n", "\\t", " ", "\\e", "\\u00e9", "\\x41", "\\/", "\\n\\n", "\\u2028", "\\0"]);
            format!("\"{text}{end}\"")
        }
        8 => dice
            .pick(&[
                "!!str 5",
                "!!int \"5\"",
                "!!bool \"true\"",
                "!!float 5",
                "!!null ''",
                "!!binary aGk=",
                "!!str",
                "! x",
                "!own x",
            ])
            .to_owned(),
        _ => dice
            .pick(&[
                "a b",
                "a: b".trim_start_matches("a: "),
                "x#y",
                "a 'b' c",
                "a\"b",
                "a\\n",
                "-x",
                "?x",
                ":x",
                "x:y",
                "a,b",
                "1 2",
                "...a",
                "--- a".trim_start_matches("--- "),
            ])
            .to_owned(),
    }
}

/// A scalar as it may stand behind `key: `; block scalars included, whose lines are indented by `indent`.
pub(crate) fn value(dice: &mut Dice, indent: usize) -> String {
    if dice.chance(75) {
        let text = scalar(dice);
        return if dice.chance(8) { format!("{text} # {}", dice.pick(&["note", "'", ": x"])) } else { text };
    }
    let mark = dice.pick(&["|", "|-", "|+", ">", ">-", ">+"]);
    let wide = dice.chance(12);
    let pad = " ".repeat(indent);
    let mut text = if wide { format!("{mark}2\n") } else { format!("{mark}\n") };
    let lines = 1 + dice.below(4);
    for at in 0..lines {
        if at > 0 && dice.chance(20) {
            text += "\n";
        }
        let extra = if (at > 0 || wide) && dice.chance(20) { dice.pick(&[" ", "  ", "\t"]) } else { "" };
        let end = if dice.chance(8) { " " } else { "" };
        text += &format!("{pad}{extra}{}{end}\n", words(dice, 14));
    }
    if dice.chance(20) {
        text += "\n";
    }
    text.pop();
    text
}

/// A collection or scalar behind a key at `indent`; it begins with the space or line break after the colon.
pub(crate) fn node(dice: &mut Dice, indent: usize, depth: usize, anchors: &mut Vec<String>) -> String {
    if depth == 0 || dice.chance(40) {
        return format!(" {}", value(dice, indent + 2));
    }
    if !anchors.is_empty() && dice.chance(15) {
        let name = anchors[dice.below(anchors.len())].clone();
        return format!(" *{name}");
    }
    if dice.chance(20) {
        return format!(" {}", flow(dice, 2));
    }
    let anchor = if dice.chance(10) { format!(" &n{indent}x{}", anchors.len()) } else { String::new() };
    let pad = " ".repeat(indent + 2);
    let mut text = format!("{anchor}\n");
    let count = 1 + dice.below(3);
    if dice.chance(50) {
        // Lists may stand under their key or be indented.
        let pad = if dice.chance(50) { " ".repeat(indent) } else { pad };
        for _ in 0..count {
            text += &match dice.below(4) {
                0 => format!("{pad}- {}\n", value(dice, pad.len() + 2)),
                1 => format!("{pad}- {}\n", flow(dice, 1)),
                2 => format!("{pad}- k: {}\n{pad}  l: {}\n", scalar(dice), value(dice, pad.len() + 4)),
                _ => format!("{pad}- - {}\n{pad}  - {}\n", scalar(dice), scalar(dice)),
            };
            if dice.chance(8) {
                text += &format!("{pad}# a comment\n");
            }
        }
    } else {
        if dice.chance(10) {
            text += &format!("{pad}# a comment\n");
        }
        for at in 0..count {
            let key = ["k", "\"1\"", "a.b/c", "'quoted key'", "K", "a10"][(at + dice.below(3)) % 6];
            if !text.contains(&format!("\n{pad}{key}:")) {
                text += &format!("{pad}{key}:{}\n", node(dice, indent + 2, depth - 1, anchors));
            }
        }
        if !anchor.is_empty() {
            anchors.push(anchor[2..].to_owned());
            return text.trim_end_matches('\n').to_owned();
        }
    }
    text.pop();
    text
}

fn flow(dice: &mut Dice, depth: usize) -> String {
    let inner = |dice: &mut Dice| {
        if depth > 0 && dice.chance(25) { flow(dice, depth - 1) } else { flow_scalar(dice) }
    };
    let count = dice.below(4);
    if dice.chance(50) {
        let items: Vec<String> = (0..count).map(|_| inner(dice)).collect();
        format!("[{}{}]", items.join(", "), if count > 0 && dice.chance(10) { "," } else { "" })
    } else {
        let pairs: Vec<String> =
            (0..count).map(|at| format!("{}: {}", ["a", "\"b\"", "c.d", "1x"][at], inner(dice))).collect();
        format!("{{{}}}", pairs.join(", "))
    }
}

fn flow_scalar(dice: &mut Dice) -> String {
    let text = scalar(dice);
    let quoted = text.starts_with(['"', '\'']);
    if !quoted && text.contains([',', '[', ']', '{', '}', '#', ':']) { "x".to_owned() } else { text }
}

/// A ConfigMap whose data is in all styles.
pub(crate) fn config_map(dice: &mut Dice, meta: &str) -> String {
    let mut text = format!(
        "{}apiVersion: v1\nkind: ConfigMap\n{meta}data:\n",
        dice.pick(&["", "# head\n", "---\n", "%YAML 1.1\n---\n", ""])
    );
    for key in ["k", "a.b", "file.txt", "\"5\"", "B"].iter().take(1 + dice.below(5)) {
        text += &format!("  {key}: {}\n", value(dice, 4));
    }
    if dice.chance(10) {
        text += &format!("binaryData:\n  bin: {}\n", dice.pick(&["AAEC", "\"/w==\"", "|\n    AAEC"]));
    }
    text
}

/// An object of a type that nobody knows, with anything in it.
pub(crate) fn widget(dice: &mut Dice, meta: &str) -> String {
    let mut text = format!("apiVersion: example.com/v1\nkind: Widget\n{meta}spec:\n");
    let mut anchors = Vec::new();
    if dice.chance(15) {
        text += "  base: &base\n    a: 1\n    b: two\n  derived:\n    <<: *base\n    b: 3\n";
    }
    for key in ["size", "list", "ref", "image", "extra"].iter().take(1 + dice.below(5)) {
        text += &format!("  {key}:{}\n", node(dice, 2, 3, &mut anchors));
    }
    if dice.chance(10) {
        text += "...\n";
    }
    text
}
