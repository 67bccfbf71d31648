//! A check of what every page has to be: a tree of known shape that keyboards and screen readers find their way in.

use std::collections::BTreeSet;

/// Elements without an end tag.
const VOID: [&str; 6] = ["meta", "link", "input", "br", "hr", "img"];

struct Tag<'p> {
    name: &'p str,
    text: &'p str,
}

impl Tag<'_> {
    fn attribute(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.text.split_once(&format!(" {name}=\""))?;
        rest.split('"').next()
    }
}

/// Whether a tag has code of its own: ` onclick="…"`.
fn has_handler(tag: &str) -> bool {
    tag.split(" on").skip(1).any(|rest| rest.trim_start_matches(|c: char| c.is_ascii_lowercase()).starts_with("=\""))
}

/// Fails the test when the page is not sound.
pub(in crate::web::tests) fn check(path: &str, page: &str) {
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{path}: {page}");
    let mut open: Vec<&str> = Vec::new();
    let mut tags: Vec<Tag<'_>> = Vec::new();
    for part in page["<!DOCTYPE html>".len()..].split('<').skip(1) {
        let text = part.split('>').next().unwrap();
        assert!(part.contains('>'), "{path}: a tag without an end: {part}");
        if let Some(name) = text.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{path}: closed in the wrong order: {page}");
            continue;
        }
        let name = text.split_whitespace().next().unwrap();
        if !VOID.contains(&name) {
            open.push(name);
        }
        tags.push(Tag { name, text });
    }
    assert!(open.is_empty(), "{path}: not closed: {open:?}");

    let count = |name: &str| tags.iter().filter(|tag| tag.name == name).count();
    assert_eq!((count("h1"), count("main"), count("title")), (1, 1, 1), "{path}");
    let mut ids = BTreeSet::new();
    for id in tags.iter().filter_map(|tag| tag.attribute("id")) {
        assert!(ids.insert(id), "{path}: two have the id {id}");
    }
    let labelled: BTreeSet<&str> = tags.iter().filter_map(|tag| tag.attribute("for")).collect();
    for tag in tags.iter().filter(|tag| ["input", "select", "textarea"].contains(&tag.name)) {
        let hidden = tag.attribute("type") == Some("hidden");
        let known = tag.attribute("id").is_some_and(|id| labelled.contains(id));
        assert!(hidden || known, "{path}: no label for <{}>", tag.text);
    }
    for tag in &tags {
        for name in ["for", "aria-labelledby", "aria-describedby"] {
            for id in tag.attribute(name).into_iter().flat_map(str::split_whitespace) {
                assert!(ids.contains(id), "{path}: <{}> speaks of {id}, which is not there", tag.text);
            }
        }
        if let Some(target) = tag.attribute("href").and_then(|target| target.strip_prefix('#')) {
            assert!(ids.contains(target), "{path}: nothing is at #{target}");
        }
        let inline = tag.text.contains(" style=") || has_handler(tag.text);
        assert!(!inline && tag.name != "style", "{path}: <{}> has code or style of its own", tag.text);
        if tag.name == "script" {
            assert!(tag.attribute("src").is_some(), "{path}: a script inside the page");
        }
        if tag.name == "th" {
            assert!(tag.attribute("scope").is_some(), "{path}: a header of what? <{}>", tag.text);
        }
        if tag.name == "form" && tag.attribute("method") == Some("get") {
            assert!(!page.contains("type=\"password\""), "{path}: a secret could reach an address");
        }
    }
    let mut level = 0;
    for heading in tags.iter().filter(|tag| matches!(tag.name, "h1" | "h2" | "h3")) {
        let this = heading.name[1..].parse::<u32>().unwrap();
        assert!(this <= level + 1, "{path}: a heading of level {this} below {level}");
        level = this;
    }
}
