//! The store on both databases: every scenario runs on SQLite, and again on a private PostgreSQL server.

#![expect(clippy::unwrap_used, reason = "also in helpers, a test stops where something is wrong")]

mod postgres;

use std::collections::BTreeMap;
use std::path::Path;

use claude_manager::project::{Inventory, LastChange, ObjectKey, ProjectName, Revision, Sent, Unit};
use claude_manager::store::{
    Begun, CommitOutcome, DeliveryState, Fingerprint, KEPT, NewDelivery, Session, Store, StoreError, StoredAnswer,
    TicketRow,
};

const DAY: i64 = 24 * 60 * 60;

async fn sqlite() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_sqlite(directory.path()).await.unwrap();
    (directory, store)
}

fn key(kind: &str, name: &str) -> ObjectKey {
    ObjectKey::new("apps", kind, Some("team"), name)
}

fn request(principal: &str, key: &str, body: &str) -> Fingerprint {
    Fingerprint::new(principal, key, &[b"POST", b"/api/projects", body.as_bytes()])
}

fn answer() -> StoredAnswer {
    StoredAnswer { status: 201, content: "{\"id\":\"a\"}".to_owned() }
}

async fn an_inventory_is_read_back_as_it_was_set(store: &Store) {
    let project = Unit::Project(ProjectName::parse("checkout").unwrap());
    let cluster_wide = ObjectKey::new("", "Namespace", None, "n");
    let base = Inventory::from([(cluster_wide, Sent::Unknown), (key("Service", "s"), Sent::Unsettled)]);
    store.set_inventory(&Unit::Base, &base).await.unwrap();
    store.set_inventory(&project, &Inventory::from([(key("StatefulSet", "old"), Sent::Hash(1))])).await.unwrap();
    // A hash may be as large as a number can be.
    let replaced = Inventory::from([(key("StatefulSet", "new"), Sent::Hash(u64::MAX - 1))]);
    store.set_inventory(&project, &replaced).await.unwrap();
    assert_eq!(
        store.inventory().await.unwrap(),
        BTreeMap::from([(Unit::Base, base.clone()), (project.clone(), replaced)])
    );

    // More than one statement takes.
    let many: Inventory =
        (0..1203).map(|number| (key("ConfigMap", &format!("c{number}")), Sent::Hash(number + 1))).collect();
    store.set_inventory(&project, &many).await.unwrap();
    assert_eq!(store.inventory().await.unwrap()[&project], many);
    store.set_inventory(&project, &Inventory::new()).await.unwrap();

    assert_eq!(store.inventory().await.unwrap(), BTreeMap::from([(Unit::Base, base)]));
}

async fn a_repeated_request_gets_the_first_answer_for_a_day(store: &Store) {
    let first = request("ana", "key-1", "body");
    assert_eq!(store.begin(&first, 1000).await.unwrap(), Begun::Execute);
    assert_eq!(store.begin(&first, 1001).await.unwrap(), Begun::Running);
    store.finish(&first, &answer()).await.unwrap();

    assert_eq!(store.begin(&first, 1000 + DAY - 1).await.unwrap(), Begun::Answered(answer()));
    assert_eq!(store.begin(&request("ana", "key-1", "other"), 1002).await.unwrap(), Begun::OtherRequest);
    assert_eq!(store.begin(&request("ben", "key-1", "other"), 1002).await.unwrap(), Begun::Execute);
    assert_eq!(store.begin(&first, 1000 + DAY).await.unwrap(), Begun::Execute);
}

async fn a_request_without_an_answer_can_be_sent_again(store: &Store) {
    let given_up = request("ana", "key-2", "body");
    assert_eq!(store.begin(&given_up, 1000).await.unwrap(), Begun::Execute);
    store.abandon(&given_up).await.unwrap();
    assert_eq!(store.begin(&given_up, 1000).await.unwrap(), Begun::Execute);

    // The process that claimed it ended in the middle.
    assert_eq!(store.begin(&given_up, 1100).await.unwrap(), Begun::Running);
    assert_eq!(store.begin(&given_up, 1120).await.unwrap(), Begun::Execute);

    store.finish(&given_up, &answer()).await.unwrap();
    store.abandon(&given_up).await.unwrap();
    assert_eq!(store.begin(&given_up, 1121).await.unwrap(), Begun::Answered(answer()), "an answer is never given up");
}

async fn of_many_equal_requests_at_once_one_is_executed(store: &Store) {
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.begin(&request("ana", "key-3", "body"), 2000).await.unwrap() })
        })
        .collect();
    let mut executed = 0;
    for task in tasks {
        executed += usize::from(task.await.unwrap() == Begun::Execute);
    }
    assert_eq!(executed, 1);
}

async fn the_last_passages_of_a_project_are_kept_and_written_again(store: &Store) {
    let project = ProjectName::parse("shop").unwrap();
    let unit = Unit::Project(project.clone());
    let passage = |number: i64, outcome: &str| CommitOutcome {
        unit: unit.clone(),
        revision: format!("{number:040}"),
        author: "Ana".to_owned(),
        seen_at: 1000 + number,
        digest: "d".to_owned(),
        summary: "1 created".to_owned(),
        outcome: outcome.to_owned(),
        message: String::new(),
        applied_ms: Some(number),
        healthy_ms: None,
    };
    let many: Vec<CommitOutcome> = (0..KEPT + 5).map(|number| passage(number, "failed")).collect();
    store.record_passages(&many).await.unwrap();
    store.record_passages(&[passage(KEPT + 4, "applied")]).await.unwrap();
    let kept = store.passages(&project).await.unwrap();
    assert_eq!((kept.len() as i64, kept[0].seen_at, kept[0].outcome.as_str()), (KEPT, 1000 + KEPT + 4, "applied"));
    assert_eq!((kept[1].outcome.as_str(), kept[1].author.as_str()), ("failed", "Ana"));
    let digests = || async { store.applied_digests().await.unwrap() };
    assert_eq!(digests().await.get(&unit).map(String::as_str), Some("d"));
    let failed = CommitOutcome { applied_ms: None, ..passage(KEPT + 5, "failed") };
    store.record_passages(&[failed]).await.unwrap();
    assert!(digests().await.is_empty(), "the last one did not come through");
    store.record_passages(&[CommitOutcome { unit: Unit::Base, ..passage(1, "applied") }]).await.unwrap();
    assert_eq!(digests().await.into_keys().collect::<Vec<_>>(), [Unit::Base], "so are the base-wide objects");
    assert!(store.passages(&ProjectName::parse("other").unwrap()).await.unwrap().is_empty());
}

async fn the_last_changes_are_those_of_one_head(store: &Store) {
    let revision = |number: u8| Revision::from_bytes([number; 20]);
    let name = |text: &str| ProjectName::parse(text).unwrap();
    let change = |number: u8| LastChange {
        revision: revision(number),
        time: jiff::Timestamp::from_second(i64::from(number)).unwrap(),
        author: "Ana".into(),
    };
    assert_eq!(store.last_changes().await.unwrap(), None);
    // More than one statement takes.
    let many: BTreeMap<_, _> = (0..1203).map(|number| (name(&format!("p{number}")), Some(change(1)))).collect();
    store.set_last_changes(None, revision(1), &many).await.unwrap();
    let (head, known) = store.last_changes().await.unwrap().unwrap();
    assert_eq!((head, known.len(), &known[&name("p7")]), (revision(1), 1203, &change(1)));

    let first = BTreeMap::from([(name("a"), Some(change(1))), (name("b"), Some(change(1)))]);
    store.set_last_changes(None, revision(1), &first).await.unwrap();
    let more = BTreeMap::from([(name("a"), Some(change(2))), (name("b"), None), (name("c"), Some(change(2)))]);
    store.set_last_changes(Some(revision(1)), revision(2), &more).await.unwrap();
    let expected = BTreeMap::from([(name("a"), change(2)), (name("c"), change(2))]);
    assert_eq!(store.last_changes().await.unwrap(), Some((revision(2), expected)));

    // Of what came after another head, nothing can be taken, and what is there may lack something.
    store.set_last_changes(Some(revision(1)), revision(3), &more).await.unwrap();
    assert_eq!(store.last_changes().await.unwrap(), None);
    store.set_last_changes(Some(revision(3)), revision(4), &more).await.unwrap();
    assert_eq!(store.last_changes().await.unwrap(), None, "there is nothing that it could follow");
}

async fn a_session_lasts_until_its_time_or_its_sign_out(store: &Store) {
    let session =
        |expires_at| Session { principal: "ana".to_owned(), credential: "what she knows".to_owned(), expires_at };
    store.add_session("first", &session(100), 0).await.unwrap();
    store.add_session("second", &session(200), 0).await.unwrap();
    assert_eq!(store.session("first", 99).await.unwrap(), Some(session(100)));
    assert_eq!(store.session("first", 100).await.unwrap(), None, "its time is over");
    assert_eq!(store.session("nobody's", 0).await.unwrap(), None);
    store.add_session("third", &session(300), 100).await.unwrap();
    assert_eq!(store.session("first", 0).await.unwrap(), None, "what has ended is removed, not only hidden");

    store.end_session("second").await.unwrap();
    store.end_session("second").await.unwrap();
    assert_eq!(store.session("second", 0).await.unwrap(), None);
    assert_eq!(store.session("third", 0).await.unwrap(), Some(session(300)), "and nobody else is signed out");
}

async fn deliveries_of_an_issue_come_one_by_one_in_their_order(store: &Store) {
    let new = |id: &str, issue: &str, happened_at| NewDelivery {
        id: id.to_owned(),
        issue: issue.to_owned(),
        issue_key: String::new(),
        event: "e".to_owned(),
        actor: String::new(),
        happened_at,
        received_at: 5,
        body: format!("body of {id}"),
    };
    let all =
        [new("late", "1", 20), new("early", "1", 10), new("other", "2", 30), new("none", "", 40), new("nor", "", 41)];
    store.add_deliveries(&all).await.unwrap();
    store.add_deliveries(&[new("late", "9", 1)]).await.unwrap();
    let due = async |now| -> Vec<String> {
        store.due_deliveries(now, 10).await.unwrap().into_iter().map(|delivery| delivery.id).collect()
    };
    assert_eq!(due(0).await, ["early", "other", "none", "nor"]);

    // Taken once, and its issue waits until it is worked off; a process that ends gives it back in time.
    assert_eq!(store.claim_delivery("early", "me", 0, 100).await.unwrap().as_deref(), Some("body of early"));
    assert_eq!(store.claim_delivery("early", "you", 0, 100).await.unwrap(), None);
    assert_eq!(due(0).await, ["other", "none", "nor"]);
    assert!(due(100).await.contains(&"early".to_owned()));
    assert_eq!(store.next_delivery(0).await.unwrap(), Some(100));
    let mut early = store.due_deliveries(100, 10).await.unwrap().remove(0);
    early.state = DeliveryState::Parked;
    early.next_at = 1000;
    store.note_delivery(&early).await.unwrap();
    assert_eq!(due(0).await, ["late", "other", "none", "nor"], "what is parked holds up nothing");
    store.unpark_deliveries("1").await.unwrap();
    assert_eq!(due(0).await[0], "early");
    early.state = DeliveryState::Dead;
    early.outcome = "why".to_owned();
    store.note_delivery(&early).await.unwrap();
    assert_eq!(store.count_deliveries().await.unwrap(), (4, 1));
    let (page, total) = store.deliveries(Some(DeliveryState::Dead), 0, 10).await.unwrap();
    assert_eq!((page[0].outcome.as_str(), total), ("why", 1));
    assert_eq!(store.deliveries(None, 4, 10).await.unwrap().0[0].id, "late");
    assert_eq!(store.forget_deliveries(100).await.unwrap(), 0, "neither what waits nor what is dead");
    assert!(store.replay_delivery("early").await.unwrap() && !store.replay_delivery("nothing").await.unwrap());
    assert_eq!(due(0).await[0], "early");
    early.state = DeliveryState::Done;
    store.note_delivery(&early).await.unwrap();
    assert_eq!(store.forget_deliveries(100).await.unwrap(), 1);
}

async fn a_ticket_is_written_only_over_what_was_read(store: &Store) {
    let new = TicketRow { issue: "7".into(), version: 0, content: "{}".into(), watched: true, comment_at: 50 };
    assert!(store.put_ticket(&new).await.unwrap() && !store.put_ticket(&new).await.unwrap());
    let read = store.ticket("7").await.unwrap().unwrap();
    assert_eq!((read.version, read.watched), (1, true));
    assert_eq!(store.watched_tickets().await.unwrap(), ["7"]);
    assert_eq!(store.due_comments(49).await.unwrap(), (vec![], Some(50)));
    assert_eq!(store.due_comments(50).await.unwrap(), (vec!["7".to_owned()], None));
    let after = TicketRow { content: "[]".into(), watched: false, comment_at: 0, ..read };
    assert!(store.put_ticket(&after).await.unwrap() && !store.put_ticket(&after).await.unwrap());
    assert!(store.watched_tickets().await.unwrap().is_empty() && store.ticket("8").await.unwrap().is_none());
}

async fn all_scenarios(store: &Store) {
    the_last_passages_of_a_project_are_kept_and_written_again(store).await;
    the_last_changes_are_those_of_one_head(store).await;
    a_session_lasts_until_its_time_or_its_sign_out(store).await;
    an_inventory_is_read_back_as_it_was_set(store).await;
    a_repeated_request_gets_the_first_answer_for_a_day(store).await;
    a_request_without_an_answer_can_be_sent_again(store).await;
    of_many_equal_requests_at_once_one_is_executed(store).await;
    deliveries_of_an_issue_come_one_by_one_in_their_order(store).await;
    a_ticket_is_written_only_over_what_was_read(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_what_it_is_given() {
    let (directory, store) = sqlite().await;
    all_scenarios(&store).await;
    store.close().await;

    let reopened = Store::open_sqlite(directory.path()).await.unwrap();
    assert!(reopened.inventory().await.unwrap().contains_key(&Unit::Base));
    assert!(reopened.session("third", 0).await.unwrap().is_some(), "a restart signs nobody out");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_what_it_is_given() {
    let Some(server) = postgres::Server::start().await else { return };
    let store = Store::connect_postgres(&server.url().into()).await.unwrap();
    all_scenarios(&store).await;
    assert_eq!(store.dialect(), "postgresql");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_agree_on_one_schema() {
    let directory = tempfile::tempdir().unwrap();
    let server = postgres::Server::start().await;
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let path = directory.path().to_owned();
        tasks.push(tokio::spawn(async move { Store::open_sqlite(&path).await }));
        if let Some(server) = &server {
            let url = server.url().into();
            tasks.push(tokio::spawn(async move { Store::connect_postgres(&url).await }));
        }
    }
    for task in tasks {
        let store = task.await.unwrap().unwrap();
        assert_eq!(store.schema().await.unwrap(), 8);
        store.close().await;
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_left_alone() {
    let (directory, store) = sqlite().await;
    store.close().await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(directory.path().join("manager.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("INSERT INTO schema_steps VALUES (99)").execute(&pool).await.unwrap();
    pool.close().await;

    let error = Store::open_sqlite(directory.path()).await.unwrap_err();

    assert!(matches!(error, StoreError::Newer { found: 99, .. }));
    assert!(error.to_string().contains("run the newer program"), "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let error = Store::open_sqlite(Path::new("/dev/null/data")).await.unwrap_err().to_string();
    assert!(error.contains("/dev/null/data/manager.db") && error.contains("DATA_DIR"), "{error}");
}

#[tokio::test]
async fn the_password_of_the_database_is_in_no_error() {
    for url in ["postgres://u:hunter2@localhost/x?host=/nowhere", "postgres://u:hunter2@:::/x"] {
        let error = Store::connect_postgres(&url.to_owned().into()).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn neither_key_nor_body_can_be_read_from_the_database() {
    let (directory, store) = sqlite().await;
    store.begin(&request("ana", "my-key", "{\"sudoPassword\":\"hunter2\"}"), 0).await.unwrap();
    store.close().await;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("hunter2") && !text.contains("my-key"));
    }
}
