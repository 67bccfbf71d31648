//! Whatever words go into an overlay come out of it.

use proptest::prelude::*;

use super::*;

/// Words that YAML, kustomize or a template could take for something else.
fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "yes",
            "No",
            "null",
            "~",
            "1e3",
            "1.20",
            "0x1F",
            "2026-11-24",
            ": ",
            "a: b",
            "a #b",
            "# x",
            " lead",
            "trail ",
            "{{ .x }}",
            "[a]",
            "*x",
            "&x",
            "!x",
            "|",
            ">",
            "'",
            "\"",
            "\\",
            "it's \"both\"",
            "\u{1F600}",
            "Größe \u{2028} x",
            "$(VAR)",
            "%YAML",
            "---",
            "- a",
            "a\u{a0}b",
            "\u{feff}x",
            "=",
            "<<",
            "@a",
            "`",
        ])
        .prop_map(str::to_owned),
        "\\PC{1,100}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_goes_into_an_overlay_comes_out_of_it(first in hostile(), second in hostile(), ticket in hostile()) {
        let mut tree = Tree::seeded();
        let project = NewProject { name: first.clone(), jira_issue: Some(ticket.clone()), ..new("p") };
        tree.make(&create(project), None).unwrap();
        let spec = tree.spec("p");
        prop_assert_eq!((spec.name, spec.jira_issue), (first, Some(ticket)));

        let wish = ProjectChange { name: Some(second.clone()), ..ProjectChange::default() };
        tree.make(&change("p", wish), None).unwrap();
        prop_assert_eq!(tree.spec("p").name, second);
    }
}
