use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::config::Settings;

const MARK: &str = "claude-manager/000000000000";

struct Scene {
    defaults: ProjectDefaults,
    ticket: Option<Ticket>,
    linked: Option<ProjectName>,
    account: Vec<String>,
    may_create: bool,
    waited: bool,
}

impl Scene {
    fn new() -> Self {
        let vars = BTreeMap::from([("DEFAULT_GIT_ORG".to_owned(), "acme".to_owned())]);
        let defaults = Settings::from_vars(&vars).unwrap().defaults;
        let account = vec!["manager".to_owned()];
        Self { defaults, ticket: None, linked: None, account, may_create: true, waited: false }
    }

    /// A ticket with its project.
    fn at_work() -> Self {
        let ticket = Ticket {
            key: "SHOP-1".to_owned(),
            project: ProjectName::parse("shop-1").ok(),
            acts: vec![CREATED.to_owned()],
            ..Ticket::default()
        };
        Self { ticket: Some(ticket), linked: ProjectName::parse("shop-1").ok(), ..Self::new() }
    }

    fn decide(&self, event: &Value) -> Decision {
        let known = Known {
            ticket: self.ticket.as_ref(),
            linked: self.linked.as_ref(),
            account: &self.account,
            mark: MARK,
            may_create: self.may_create,
            waited: self.waited,
            field: Some("customfield_1"),
            defaults: &self.defaults,
        };
        decide(&Event::parse(event.to_string().as_bytes()).unwrap(), &known)
    }

    /// The acts that Claude is told of.
    fn told(&self, event: &Value) -> Vec<String> {
        match self.decide(event) {
            Decision::Tell(told) => told.into_iter().map(|told| told.act).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn ignored(&self, event: &Value) -> String {
        match self.decide(event) {
            Decision::Ignore(why) => why,
            other => panic!("{other:?}"),
        }
    }
}

fn created(fields: Value) -> Value {
    json!({"timestamp": 1_000_000, "webhookEvent": "jira:issue_created", "user": {"accountId": "ana", "displayName": "Ana"},
        "issue": {"id": "1", "key": "SHOP-1", "fields": fields}})
}

fn comment(author: &Value, text: &str) -> Value {
    json!({"timestamp": 2_000_000, "webhookEvent": "comment_created", "issue": {"id": "1", "key": "SHOP-1"},
        "comment": {"id": "9", "body": text, "author": author}})
}

fn ana() -> Value {
    json!({"accountId": "ana", "displayName": "Ana"})
}

fn changed(at: i64, id: &str, items: Value) -> Value {
    json!({"timestamp": at, "webhookEvent": "jira:issue_updated", "issue_event_type_name": "issue_updated",
        "user": {"accountId": "ana", "displayName": "Ana"}, "issue": {"id": "1", "key": "SHOP-1"},
        "changelog": {"id": id, "items": items}})
}

fn given(url: &str) -> Decision {
    Decision::Begin(Repository::Given(GitUrl::parse(url).unwrap()))
}

#[test]
fn a_new_issue_begins_with_the_repository_of_its_field_then_of_its_description() {
    let scene = Scene::new();
    let both = created(json!({"customfield_1": "shop", "description": "see https://h/other.git"}));
    assert_eq!(scene.decide(&both), given("https://github.com/acme/shop.git"));
    let described = created(json!({"customfield_1": null, "description": "see https://h/other.git"}));
    assert_eq!(scene.decide(&described), given("https://h/other.git"));
    let Decision::Ask(question) = scene.decide(&created(json!({"description": "Fix it"}))) else { panic!() };
    assert!(question.contains("names no repository") && question.contains("bare name"), "{question}");
    let off = Scene { may_create: false, ..Scene::new() };
    assert!(off.ignored(&both).contains("AUTO_CREATE_PROJECTS"));
    let linked = Scene { linked: ProjectName::parse("mine").ok(), ..off };
    assert_eq!(linked.decide(&both), Decision::Begin(Repository::Linked));
    assert!(matches!(Scene::at_work().decide(&both), Decision::Known(_)));
}

#[test]
fn the_next_comment_answers_the_question() {
    let asking = Ticket { key: "SHOP-1".to_owned(), question: Some("Which?".to_owned()), ..Ticket::default() };
    let scene = Scene { ticket: Some(asking), ..Scene::new() };
    assert_eq!(scene.decide(&comment(&ana(), "shop")), given("https://github.com/acme/shop.git"));
    assert_eq!(scene.decide(&comment(&ana(), "It is https://h/a.git.")), given("https://h/a.git"));
    assert!(matches!(scene.decide(&comment(&ana(), "no idea, sorry")), Decision::Ask(_)));
    let field = changed(5, "1", json!([{"field": "Repo", "fieldId": "customfield_1", "toString": "shop"}]));
    scene.ignored(&field);
    let mut whole = field;
    whole["issue"]["fields"] = json!({"customfield_1": "shop"});
    assert_eq!(scene.decide(&whole), given("https://github.com/acme/shop.git"));
}

#[test]
fn comments_and_changes_are_told_once_whatever_webhook_tells_them() {
    let mut scene = Scene::at_work();
    assert_eq!(scene.told(&comment(&ana(), "Please")), ["comment/9"]);
    let mut again = comment(&ana(), "Please");
    again["webhookEvent"] = json!("jira:issue_updated");
    again["issue_event_type_name"] = json!("issue_commented");
    assert_eq!(scene.told(&again), ["comment/9"]);
    let items =
        json!([{"field": "priority", "fieldId": "priority", "toString": "High"}, {"field": "Rank", "toString": "x"}]);
    assert_eq!(scene.told(&changed(5, "7", items.clone())), ["change/7"]);
    scene.ticket.as_mut().unwrap().acts.extend(["comment/9".to_owned(), "change/7".to_owned()]);
    assert!(matches!(scene.decide(&again), Decision::Known(_)));
    assert!(matches!(scene.decide(&changed(5, "7", items)), Decision::Known(_)));
    assert!(scene.ignored(&changed(5, "8", json!([{"field": "Rank", "toString": "x"}]))).contains("Nothing"));
    let mut edited = comment(&ana(), "Please do");
    edited["webhookEvent"] = json!("comment_updated");
    assert!(scene.told(&edited)[0].starts_with("comment/9/"));
}

#[test]
fn a_change_that_comes_late_does_not_undo_a_newer_one() {
    let mut scene = Scene::at_work();
    scene.ticket.as_mut().unwrap().fields.insert("priority".to_owned(), 10);
    let items = json!([{"field": "priority", "fieldId": "priority", "toString": "Low"}]);
    assert!(scene.ignored(&changed(5, "7", items.clone())).contains("newer"));
    assert_eq!(scene.told(&changed(11, "7", items)), ["change/7"]);
}

#[test]
fn own_comments_and_those_of_programs_tell_nothing() {
    let mut scene = Scene::at_work();
    scene.ignored(&comment(&json!({"accountId": "manager"}), "Done."));
    scene.ignored(&comment(&json!({"accountId": "x", "accountType": "app"}), "Built."));
    scene.ticket.as_mut().unwrap().comment.id = Some("9".to_owned());
    scene.ignored(&comment(&json!({"accountId": "other"}), "Done."));
    let unknown = Scene { account: Vec::new(), ..Scene::at_work() };
    unknown.ignored(&comment(&json!({"accountId": "manager"}), &format!("Done. {MARK}")));
    // Who quotes the manager is no manager.
    assert_eq!(Scene::at_work().told(&comment(&ana(), &format!("{{quote}}{MARK}{{quote}} why?"))), ["comment/9"]);
}

#[test]
fn what_comes_before_its_issue_waits_and_what_has_none_is_ignored() {
    let scene = Scene::new();
    let early = comment(&ana(), "Please");
    assert_eq!(scene.decide(&early), Decision::Park);
    assert!(Scene { waited: true, ..Scene::new() }.ignored(&early).contains("No project"));
    let mut old = early.clone();
    old["timestamp"] = json!(1_796_046_667_000_i64);
    old["issue"]["fields"] = json!({"created": "2020-01-01T00:00:00.000+0000"});
    assert!(scene.ignored(&old).contains("No project"));
    assert!(Scene { may_create: false, ..Scene::new() }.ignored(&early).contains("No project"));
    // A project that a person made for the issue.
    let linked = Scene { linked: ProjectName::parse("mine").ok(), ..Scene::new() };
    assert_eq!(linked.told(&early), ["comment/9"]);
}

#[test]
fn a_deleted_issue_leaves_its_project_alone() {
    let deleted = json!({"webhookEvent": "jira:issue_deleted", "issue": {"id": "1", "key": "SHOP-1"}});
    let mut scene = Scene::at_work();
    let Decision::Close(why) = scene.decide(&deleted) else { panic!() };
    assert!(why.contains("shop-1 and its volumes stay"), "{why}");
    scene.ticket.as_mut().unwrap().closed = Some(why);
    scene.ignored(&comment(&ana(), "hello?"));
    Scene::new().ignored(&deleted);
    Scene::new().ignored(&json!({"webhookEvent": "sprint_started"}));
    Scene::new().ignored(&json!({"webhookEvent": "jira:issue_created"}));
}
