//! Signing in, and what a session's cookie is good for.

use super::*;

const COOKIE: &str = "claude-manager-3000";
const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml");
const HERE: (&str, &str) = ("sec-fetch-site", "same-origin");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// `name=value` of the cookie that an answer sets.
fn cookie(reply: &Reply) -> String {
    let set = reply.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let ours = set.filter(|value| value.starts_with(COOKIE)).collect::<Vec<_>>();
    assert_eq!(ours.len(), 1, "{} {:?}", reply.status, reply.headers);
    ours[0].split(';').next().unwrap().to_owned()
}

/// The cookie of somebody who has just come by the link.
pub(super) async fn sign_in(app: &TestApp, token: &str) -> String {
    cookie(&app.send("GET", &format!("/sign-in?token={token}"), &[BROWSER], "").await)
}

#[tokio::test]
async fn the_link_signs_in_and_its_token_stays_nowhere() {
    let app = TestApp::new().await;
    let reply = app.send("GET", "/sign-in?token=admin", &[BROWSER, ("sec-fetch-site", "none")], "").await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/projects"));
    assert_eq!(reply.header("referrer-policy"), "no-referrer");
    assert_eq!(reply.header("cache-control"), "no-store");
    let set = reply.header("set-cookie");
    assert!(set.contains("; HttpOnly; SameSite=Lax") && !set.contains("admin"), "{set}");

    let headers = [BROWSER, ("cookie", &*cookie(&reply))];
    let page = app.send("GET", "/projects", &headers, "").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    assert!(page.text.contains("ana"), "{}", page.text);
    assert_eq!(app.send("GET", "/api/projects", &headers, "").await.json()["total"], 2, "the API takes it too");
}

#[tokio::test]
async fn the_form_signs_in_and_leads_back_to_where_somebody_wanted_to_go() {
    let app = TestApp::with(&[("BASE_PATH", "/c"), ("PUBLIC_URL", "https://host.example/c")], |_| {}).await;
    let reply = app.send("GET", "/c/projects?q=a%26b", &[BROWSER], "").await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER);
    assert_eq!(reply.header("location"), "/c/sign-in?next=%2Fc%2Fprojects%3Fq%3Da%2526b");
    let form = app.send("GET", reply.header("location"), &[BROWSER], "").await;
    assert!(form.text.contains(r#"name="next" value="/c/projects?q=a%26b""#), "{}", form.text);

    let body = "token=admin&next=%2Fc%2Fprojects%3Fq%3Da%2526b";
    let reply = app.send("POST", "/c/sign-in", &[BROWSER, HERE, FORM], body).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/c/projects?q=a%26b"));
    assert!(reply.header("set-cookie").contains("; Path=/c;"), "{}", reply.header("set-cookie"));
    assert!(reply.header("set-cookie").ends_with("; Secure"), "{}", reply.header("set-cookie"));
}

#[tokio::test]
async fn a_wrong_token_signs_nobody_in_and_is_not_repeated() {
    let app = TestApp::new().await;
    let reply = app.send("GET", "/sign-in?token=hunter2", &[BROWSER], "").await;
    assert_eq!(reply.header("location"), "/sign-in?hint=wrong&next=%2Fprojects");
    assert_eq!(reply.header("set-cookie"), "");
    let form = app.send("GET", reply.header("location"), &[BROWSER], "").await;
    assert!(form.text.contains("This token is not valid"), "{}", form.text);

    let reply = app.send("POST", "/sign-in", &[BROWSER, HERE, FORM], "token=hunter2").await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(reply.text.contains("This token is not valid") && !reply.text.contains("hunter2"), "{}", reply.text);
    assert_eq!(reply.header("set-cookie"), "");
}

#[tokio::test]
async fn wrong_tokens_are_slow_by_every_way() {
    let app = TestApp::new().await;
    let wrong = [("authorization", "Bearer wrong")];
    for (method, path, headers, body) in [
        ("GET", "/api/projects", &wrong[..], ""),
        ("GET", "/sign-in?token=wrong", &[BROWSER][..], ""),
        ("POST", "/sign-in", &[HERE, FORM][..], "token=wrong"),
    ] {
        let started = Instant::now();
        let reply = app.send(method, path, headers, body).await;
        assert!(!reply.status.is_success(), "{method} {path}");
        assert!(started.elapsed() >= WRONG, "{method} {path}");
    }
}

#[tokio::test]
async fn a_form_that_does_not_arrive_is_not_waited_for() {
    let app = TestApp::new().await;
    let body = Body::from_stream(futures::stream::pending::<Result<&'static [u8], std::io::Error>>());
    let request = Request::post("/sign-in").header("host", "localhost").header(HERE.0, HERE.1).header(FORM.0, FORM.1);
    let answered = app.router.clone().oneshot(request.body(body).unwrap());
    let response = tokio::time::timeout(Duration::from_secs(15), answered).await.expect("an answer").unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn a_foreign_page_signs_nobody_in() {
    let app = TestApp::new().await;
    for site in ["cross-site", "same-site"] {
        let reply = app.send("GET", "/sign-in?token=admin", &[BROWSER, ("sec-fetch-site", site)], "").await;
        assert_eq!(reply.header("location"), "/sign-in?hint=elsewhere&next=%2Fprojects");
        assert_eq!(reply.header("set-cookie"), "");
    }
    for headers in [vec![FORM], vec![FORM, ("origin", "https://evil.example")], vec![FORM, ("origin", "null")]] {
        let reply = app.send("POST", "/sign-in", &headers, "token=admin").await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "foreign-origin"), "{headers:?}");
        assert_eq!(reply.header("set-cookie"), "");
    }
}

#[tokio::test]
async fn with_a_cookie_only_our_own_pages_can_change_anything() {
    let app = TestApp::new().await;
    let cookie = sign_in(&app, "admin").await;
    let cookie = ("cookie", cookie.as_str());
    let json = ("content-type", "application/json");
    let writes = [
        ("POST", "/projects/alpha/stop", FORM, ""),
        ("POST", "/projects/alpha/delete", FORM, "volumes=keep&confirm=alpha"),
        ("POST", "/projects", FORM, "name=Gamma&gitRepository=https://git.example/g.git"),
        ("POST", "/api/projects/alpha/stop", json, ""),
        ("DELETE", "/api/projects/alpha", json, ""),
        ("PUT", "/api/projects/alpha", json, "{}"),
        ("POST", "/sign-out", FORM, ""),
    ];
    for (method, path, content_type, body) in writes {
        for headers in [
            vec![],
            vec![("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site")],
            vec![("origin", "http://localhost:8080")],
            vec![("origin", "https://evil.example")],
            vec![("origin", "null")],
        ] {
            let all = [headers.as_slice(), &[cookie, content_type]].concat();
            let reply = app.send(method, path, &all, body).await;
            let what = format!("{method} {path} {headers:?}");
            assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::FORBIDDEN, "foreign-origin"), "{what}");
        }
    }
    assert_eq!(app.submitted(), 0);
    let reply = app.send("GET", "/api/projects", &[cookie, ("sec-fetch-site", "cross-site")], "").await;
    assert_eq!(reply.status, StatusCode::OK, "and nothing hinders looking");

    for (count, headers) in [vec![HERE], vec![("origin", "http://localhost:3000")]].into_iter().enumerate() {
        let all = [headers.as_slice(), &[cookie, FORM]].concat();
        let reply = app.send("POST", "/projects/alpha/stop", &all, "").await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{headers:?} {}", reply.text);
        assert_eq!(app.submitted(), count + 1);
    }
    let bearer = [("authorization", "Bearer admin"), ("origin", "https://evil.example")];
    let reply = app.send("POST", "/api/projects/alpha/stop", &bearer, "").await;
    assert_eq!(reply.status, StatusCode::OK, "a token in a header comes from no foreign page");
}

#[tokio::test]
async fn a_token_in_the_header_counts_and_not_the_cookie_beside_it() {
    let app = TestApp::new().await;
    let cookie = sign_in(&app, "admin").await;
    let wrong = [("authorization", "Bearer wrong"), ("cookie", cookie.as_str())];
    assert_eq!(app.send("GET", "/api/projects", &wrong, "").await.status, StatusCode::UNAUTHORIZED);
    let viewer = [("authorization", "Bearer viewer"), ("cookie", cookie.as_str()), HERE];
    assert_eq!(app.send("POST", "/api/projects/alpha/stop", &viewer, "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn signing_out_ends_the_session_and_only_this_one() {
    let app = TestApp::new().await;
    let (first, second) = (sign_in(&app, "admin").await, sign_in(&app, "viewer").await);
    let reply = app.send("POST", "/sign-out", &[("cookie", &first), HERE, BROWSER], "").await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/sign-in?hint=out"));
    assert!(reply.header("set-cookie").starts_with(&format!("{COOKIE}=; ")), "{}", reply.header("set-cookie"));
    assert!(reply.header("set-cookie").contains("Max-Age=0"));
    for (cookie, status) in [(&first, StatusCode::UNAUTHORIZED), (&second, StatusCode::OK)] {
        assert_eq!(app.send("GET", "/api/projects", &[("cookie", cookie)], "").await.status, status);
    }
}

#[tokio::test]
async fn strangers_see_the_sign_in_page_and_nothing_else() {
    let app = TestApp::new().await;
    for path in
        ["/", "/projects", "/new", "/projects/alpha", "/projects/alpha/delete", "/projects/alpha/logs", "/nothing"]
    {
        let reply = app.send("GET", path, &[BROWSER], "").await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{path}");
        assert!(reply.header("location").starts_with("/sign-in?next="), "{path}");
        assert_eq!(app.send("GET", path, &[], "").await.problem(), "unauthenticated", "{path} for a program");
    }
    for path in ["/fragments/projects", "/fragments/projects/alpha", "/api/projects"] {
        assert_eq!(app.send("GET", path, &[BROWSER], "").await.problem(), "unauthenticated", "{path}");
    }
    let reply = app.send("POST", "/projects/alpha/stop", &[BROWSER, HERE, FORM], "").await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    assert!(reply.text.contains("Sign in"), "{}", reply.text);
    assert_eq!(app.submitted(), 0);
}

#[tokio::test]
async fn whoever_is_signed_in_needs_no_sign_in_page() {
    let app = TestApp::new().await;
    let cookie = sign_in(&app, "admin").await;
    let reply = app.send("GET", "/sign-in?next=%2Fnew", &[BROWSER, ("cookie", &cookie)], "").await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/new"));
}

/// The value of a hidden field of a page.
fn hidden(page: &str, name: &str) -> String {
    let rest = page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_else(|| panic!("no {name}: {page}"));
    rest.split('"').next().unwrap().replace("&amp;", "&")
}

#[tokio::test]
async fn a_form_of_an_ended_session_is_kept_and_shown_again_after_the_sign_in() {
    let app = TestApp::new().await;
    let ended = sign_in(&app, "admin").await;
    app.send("POST", "/sign-out", &[("cookie", &ended), HERE, BROWSER], "").await;
    let cookie = ("cookie", ended.as_str());
    let new = "name=My+%22Shop%22&shortName=&gitRepository=https%3A%2F%2Fgit.example%2Fs.git&anthropicApiKey=hunter2";
    let prompt = "id=00000000-0000-4000-8000-000000000001&text=Fix+%3Cb%3E+it%0D%0Anow";
    for (path, body, shown) in [
        ("/projects", new, vec!["value=\"My &quot;Shop&quot;\"", "https://git.example/s.git", "Create project"]),
        (
            "/projects/alpha/chat",
            prompt,
            vec!["Fix &lt;b&gt; it", "action=\"/projects/alpha/chat\"", "8000-000000000001"],
        ),
    ] {
        let asked = app.send("POST", path, &[BROWSER, HERE, FORM, cookie], body).await;
        assert_eq!(asked.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(asked.text.contains("Your session has ended") && !asked.text.contains("hunter2"), "{}", asked.text);
        super::pages::check(path, &asked.text);
        let (to, kept) = (hidden(&asked.text, "to"), hidden(&asked.text, "kept"));
        let with = |token: &str| {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("token", token).append_pair("to", &to).append_pair("kept", &kept).finish()
        };
        // A wrong token keeps it, too.
        let wrong = app.send("POST", "/sign-in", &[BROWSER, HERE, FORM], &with("nonsense")).await;
        assert_eq!((wrong.status, hidden(&wrong.text, "kept")), (StatusCode::UNAUTHORIZED, kept.clone()));
        let page = app.send("POST", "/sign-in", &[BROWSER, HERE, FORM], &with("admin")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        assert!(sign_in_works(&app, &page).await);
        super::pages::check(path, &page.text);
        for text in shown {
            assert!(page.text.contains(text), "{text}: {}", page.text);
        }
    }
    assert_eq!(app.submitted(), 0, "nothing is sent without another press of the button");

    // Nothing is kept for strangers and foreign pages.
    for headers in [
        vec![BROWSER, HERE, FORM],
        vec![BROWSER, ("sec-fetch-site", "cross-site"), FORM, cookie],
        vec![BROWSER, FORM, cookie],
    ] {
        let reply = app.send("POST", "/projects", &headers, new).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{headers:?}");
        assert!(!reply.text.contains("git.example"), "{}", reply.text);
    }
    let elsewhere = "token=admin&to=https%3A%2F%2Fevil.example%2F&kept=a%3Db";
    let reply = app.send("POST", "/sign-in", &[BROWSER, HERE, FORM], elsewhere).await;
    assert_eq!((reply.status, reply.header("location")), (StatusCode::SEE_OTHER, "/projects"));
}

/// Whether the cookie that an answer sets is good.
async fn sign_in_works(app: &TestApp, reply: &Reply) -> bool {
    app.send("GET", "/api/projects", &[("cookie", &cookie(reply))], "").await.status == StatusCode::OK
}
