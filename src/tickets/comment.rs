//! The manager's comment in an issue: one, edited as things go on. Pure.

use super::names::hash;
use super::ticket::{Prompt, Ticket};
use crate::jira::{Block, Document, Span};

/// JIRA holds 32,767 characters; markup takes some of them.
const MOST: usize = 28_000;

/// Where the comment leads.
pub(super) struct Place<'a> {
    /// The conversation's page, where the manager's address is known.
    pub(super) link: Option<String>,
    /// What marks the comment as the manager's.
    pub(super) mark: &'a str,
}

/// Writes the comment; `None` while there is nothing to say.
pub(super) fn of(ticket: &Ticket, place: &Place<'_>) -> Option<Document> {
    let mut text = Document::default();
    match (&ticket.question, &ticket.project) {
        (Some(question), _) => text.paragraph(question.as_str()),
        (None, None) => return None,
        (None, Some(project)) => {
            let mut head = vec![Span { strong: true, ..Span::plain("Claude Manager") }];
            head.push(Span::plain(format!(": project {project}. ")));
            if let Some(link) = &place.link {
                head.push(Span::link("Open the conversation", link));
            }
            text.blocks.push(Block::Paragraph(head));
        }
    }
    if let Some(needs) = &ticket.needs {
        text.paragraph(format!("Claude waits for a person: {needs} Answer in the conversation."));
    }
    let working: Vec<&str> =
        ticket.prompts.iter().filter(|one| one.answer.is_none()).map(|one| one.about.as_str()).collect();
    if !working.is_empty() && ticket.needs.is_none() {
        text.paragraph(format!("Claude is at work: {}.", working.join("; ")));
    }
    for prompt in ticket.prompts.iter().rev() {
        answer(prompt, &mut text);
    }
    text.shorten(MOST);
    let mut foot = String::new();
    if ticket.cost > 0.0 {
        foot.push_str(&format!("Cost so far: ${:.4}. ", ticket.cost));
    }
    foot.push_str(place.mark);
    text.blocks.push(Block::Rule);
    text.paragraph(foot);
    Some(text)
}

fn answer(prompt: &Prompt, text: &mut Document) {
    let Some(answer) = &prompt.answer else { return };
    text.blocks.push(Block::Heading(4, vec![Span::plain(prompt.about.as_str())]));
    if !answer.text.trim().is_empty() {
        text.markdown(&answer.text);
    }
    if let Some(problem) = &answer.problem {
        text.paragraph(problem.as_str());
    } else if answer.text.trim().is_empty() {
        text.paragraph("Done, without a text.");
    }
    if answer.cost > 0.0 {
        text.paragraph(format!("Cost: ${:.4}.", answer.cost));
    }
}

/// Tells one text from another.
pub(super) fn hash_of(text: &Document) -> String {
    hash(&[text.to_wiki().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        let mut ticket = Ticket { project: crate::project::ProjectName::parse("shop-1").ok(), ..Ticket::default() };
        ticket.told("created", "1", "Ticket");
        ticket
    }

    fn place() -> Place<'static> {
        Place { link: Some("https://m/projects/shop-1/chat/x".to_owned()), mark: "claude-manager/abc" }
    }

    #[test]
    fn the_comment_says_what_goes_on_then_the_answer_with_link_and_cost() {
        let mut ticket = ticket();
        let text = of(&ticket, &place()).unwrap().to_wiki();
        assert!(text.contains("[Open the conversation|https://m/projects/shop-1/chat/x]"), "{text}");
        assert!(text.contains("Claude is at work: Ticket.") && text.ends_with("claude-manager/abc"), "{text}");
        ticket.answered(&["1".to_owned()], "All **done**.", 0.0123, None);
        let text = of(&ticket, &place()).unwrap().to_wiki();
        assert!(text.contains("All *done*.") && text.contains("Cost: $0.0123."), "{text}");
        assert!(!text.contains("at work"), "{text}");
        ticket.needs = Some("May it run ls?".to_owned());
        assert!(of(&ticket, &place()).unwrap().to_wiki().contains("waits for a person: May it run ls"));
    }

    #[test]
    fn a_huge_answer_fits_and_keeps_its_mark() {
        let mut ticket = ticket();
        for number in 0..5 {
            ticket.told(&number.to_string(), &number.to_string(), "x");
            ticket.answered(&[number.to_string()], &"- many words\n".repeat(2000), 0.0, None);
        }
        let text = of(&ticket, &place()).unwrap();
        assert!(text.to_wiki().len() < 32_767 && text.to_wiki().ends_with("claude-manager/abc"));
        assert!(crate::jira::text_of(&text.to_adf()).len() < 32_767);
    }

    #[test]
    fn a_question_needs_no_project_and_silence_no_comment() {
        let asking = Ticket { question: Some("Which one?".to_owned()), ..Ticket::default() };
        assert!(of(&asking, &place()).unwrap().to_wiki().contains("Which one\\?"));
        assert_eq!(of(&Ticket::default(), &place()), None);
    }
}
