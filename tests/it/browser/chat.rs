//! A conversation in a real browser, with scripts and without.

use super::Browser;
use crate::chat::{Scene, claude};

/// From the first prompt to a turn that needed an answer; then a restart of the manager, and a second prompt.
async fn converse(scripts: bool) {
    let Some(program) = claude() else { return };
    let Some(browser) = Browser::start(scripts).await else { return };
    let mut scene = Scene::start(&program).await;
    scene.script_a_tool("make");
    scene.script_a_text("more", "And <b>more</b>, **in bold**.");
    browser.goto(&scene.manager, &format!("/sign-in?token={}", scene.manager.token())).await;
    browser.arrives("/projects").await;
    browser.goto(&scene.manager, "/projects/shop/chat").await;
    browser.fill("#text", "make").await;
    browser.click(".composer button[type=submit]").await;

    if scripts {
        // The block grows before it is finished.
        browser.until("#open", "word1", false).await;
    }
    browser.until(".card h2", "permission", !scripts).await;
    assert!(browser.text(".card pre").await.contains("touch made.txt"));
    assert!(browser.text(".ask-strip").await.contains("touch made.txt"), "in reach above the composer, too");
    browser.click(".card button[value=allow]").await;
    browser.until("#events", "Made.", !scripts).await;
    browser.until(".now .badge", "Idle", !scripts).await;
    assert!(browser.text(".card").await.is_empty(), "it was answered");

    // Whole again after a restart of the manager, by itself with scripts.
    let before = browser.text("#events").await;
    scene.restart();
    if !scripts {
        browser.client.refresh().await.expect("a reload");
    }
    browser.until("#events", "Made.", false).await;
    assert_eq!(browser.text("#events").await, before);
    scene.prompt_in_the_newest("more").await;
    browser.until("#events", "And <b>more</b>, in bold.", !scripts).await;
    let shown = browser.text("#events").await;
    assert_eq!(shown.matches("Made.").count(), 1, "{shown}");
    assert_eq!(browser.text("#events .md strong").await, "in bold", "Markdown by the server");

    // A page that grew is the page that is loaded.
    let grown = browser.html("#events").await;
    browser.client.refresh().await.expect("a reload");
    assert_eq!(browser.html("#events").await, grown);
    if scripts {
        // Enter sends, Shift and Enter makes a line.
        browser.fill("#text", &format!("ec{}ho", '\u{E008}'.to_string() + "\u{E007}" + "\u{E000}")).await;
        assert_eq!(browser.value("#text").await, "ec\nho");
        browser.fill("#text", "\u{E007}").await;
        browser.until("#events", "ec\nho", false).await;
        assert_eq!(browser.value("#text").await, "");
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_with_scripts() {
    converse(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_without_scripts() {
    converse(false).await;
}
