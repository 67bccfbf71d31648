//! Claude's Markdown as HTML.
//!
//! The text comes from a model that has read files and pages of strangers, so it is hostile input. HTML in it is shown as
//! text. Links lead to http, https and mailto only, and open without access to this window. An image becomes a link to it:
//! nothing is loaded from elsewhere. Headings get one level below the page's own.

use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd};

/// Renders a text. The same text gives the same HTML.
pub(super) fn markdown(text: &str) -> Markup {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut state = State::default();
    let events = Parser::new_ext(text, options).map(|event| state.event(event));
    let mut rendered = String::with_capacity(text.len() * 2);
    pulldown_cmark::html::push_html(&mut rendered, events);
    PreEscaped(rendered)
}

/// What is open.
#[derive(Default)]
struct State {
    /// For each open link and image, whether it has a tag that is to be closed.
    links: Vec<bool>,
    in_table_head: bool,
}

impl State {
    /// The event as it may be written. `InlineHtml` is written as it is, so only this file makes such events.
    fn event<'t>(&mut self, event: Event<'t>) -> Event<'t> {
        match event {
            Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
            Event::TaskListMarker(done) => Event::Text(if done { "☑ ".into() } else { "☐ ".into() }),
            Event::Rule => raw("<hr>"),
            Event::HardBreak => raw("<br>"),
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            other => other,
        }
    }

    fn start<'t>(&mut self, tag: Tag<'t>) -> Event<'t> {
        match tag {
            Tag::HtmlBlock => raw("<p>"),
            Tag::Heading { .. } => raw("<h3>"),
            Tag::Link { dest_url, .. } => self.link(&dest_url, ""),
            Tag::Image { dest_url, .. } => self.link(&dest_url, "Image: "),
            Tag::CodeBlock(kind) => {
                let language = match &kind {
                    CodeBlockKind::Fenced(info) => info.split([' ', ',']).next().unwrap_or_default(),
                    CodeBlockKind::Indented => "",
                };
                let head = html! { @if !language.is_empty() { header { (language) } } };
                owned(format!("<div class=\"code\">{}<pre tabindex=\"0\"><code>", head.into_string()))
            }
            Tag::Table(_) => raw("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table>"),
            Tag::TableHead => {
                self.in_table_head = true;
                raw("<thead><tr>")
            }
            Tag::TableRow => raw("<tr>"),
            Tag::TableCell => raw(if self.in_table_head { "<th scope=\"col\">" } else { "<td>" }),
            other => Event::Start(other),
        }
    }

    fn end<'t>(&mut self, tag: TagEnd) -> Event<'t> {
        match tag {
            TagEnd::HtmlBlock => raw("</p>"),
            TagEnd::Heading(_) => raw("</h3>"),
            TagEnd::Link | TagEnd::Image => raw(if self.links.pop() == Some(true) { "</a>" } else { "" }),
            TagEnd::CodeBlock => raw("</code></pre></div>"),
            TagEnd::Table => raw("</tbody></table></div>"),
            TagEnd::TableHead => {
                self.in_table_head = false;
                raw("</tr></thead><tbody>")
            }
            TagEnd::TableRow => raw("</tr>"),
            TagEnd::TableCell => raw(if self.in_table_head { "</th>" } else { "</td>" }),
            other => Event::End(other),
        }
    }

    /// The start of a link, or its label alone where the address is not a good one.
    fn link<'t>(&mut self, address: &str, label: &str) -> Event<'t> {
        // A link inside a link is one tag.
        let is_good = is_allowed(address) && !self.links.contains(&true);
        self.links.push(is_good);
        if !is_good {
            return owned(html! { (label) }.into_string());
        }
        let escaped = html! { (address) }.into_string();
        owned(format!("<a href=\"{escaped}\" rel=\"noopener noreferrer nofollow\">{label}"))
    }
}

/// Whether a link may lead there: its scheme is one of three, written plainly.
fn is_allowed(address: &str) -> bool {
    let Some((scheme, rest)) = address.split_once(':') else { return false };
    let is_web = ["http", "https"].iter().any(|good| scheme.eq_ignore_ascii_case(good)) && rest.starts_with("//");
    let is_plain = !address.chars().any(|c| c.is_control() || c.is_whitespace());
    is_plain && (is_web || scheme.eq_ignore_ascii_case("mailto"))
}

fn raw(html: &'static str) -> Event<'static> {
    Event::InlineHtml(CowStr::Borrowed(html))
}

fn owned<'t>(html: String) -> Event<'t> {
    Event::InlineHtml(CowStr::from(html))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        markdown(text).into_string().replace('\n', "")
    }

    #[test]
    fn text_is_formatted() {
        let told = of("# One\n\nTwo **bold** `a<b`.\n\n- x\n- [x] y\n\n```rust ignore\nlet a = \"<\";\n```");
        assert_eq!(
            told,
            "<h3>One</h3><p>Two <strong>bold</strong> <code>a&lt;b</code>.</p><ul><li>x</li><li>☑ y</li></ul>\
             <div class=\"code\"><header>rust</header><pre tabindex=\"0\"><code>let a = \"&lt;\";</code></pre></div>"
        );
        assert_eq!(
            of("|a|b|\n|:-|-:|\n|1|<i>|"),
            "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\"><table><thead><tr>\
             <th scope=\"col\">a</th><th scope=\"col\">b</th></tr></thead><tbody><tr><td>1</td><td>&lt;i&gt;</td></tr>\
             </tbody></table></div>",
            "and no style attribute says how it is aligned"
        );
    }

    #[test]
    fn html_in_it_is_text() {
        for hostile in [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "<div style=\"x\">\n\n<svg onload=alert(1)>\n\n</div>",
            "<!-- <b> --> <![CDATA[<b>]]> <?php <b> ?>",
            "```<script>\n</code></pre><script>\n```",
            "[a](<javascript:alert(1)>) [b](x \"\\\"><script>\")",
        ] {
            let told = of(hostile);
            for forbidden in ["<script", "<img", "<svg", "<div style", "<b>", "<?"] {
                assert!(!told.contains(forbidden), "{hostile}: {told}");
            }
        }
    }

    #[test]
    fn links_lead_to_good_places_and_images_are_not_loaded() {
        for (text, expected) in [
            ("[a](javascript:alert(1))", None),
            ("[a](JavaScript:alert(1))", None),
            ("[a](data:text/html,x)", None),
            ("[a](//evil.example)", None),
            ("[a](/projects/x/delete)", None),
            ("[a](https:evil)", None),
            ("[a](vbscript:x)", None),
            ("[a](https://x.y/?a=1&b=2)", Some("https://x.y/?a=1&amp;b=2")),
            ("[a](https://x.y/?\"b)", Some("https://x.y/?&quot;b")),
            ("<mailto:a@b.c>", Some("mailto:a@b.c")),
            ("![pic](http://x.y/p.png)", Some("http://x.y/p.png")),
        ] {
            let told = of(text);
            match expected {
                None => assert!(!told.contains("href"), "{text}: {told}"),
                Some(address) => {
                    let start = format!("<a href=\"{address}\" rel=\"noopener noreferrer nofollow\">");
                    assert!(told.contains(&start), "{text}: {told}");
                }
            }
            assert!(!told.contains("<img"), "{text}: {told}");
        }
        assert_eq!(of("![pic](javascript:x)"), "<p>Image: pic</p>");
        assert_eq!(of("[![pic](http://x/p.png)](http://y)").matches("<a ").count(), 1);
    }
}
