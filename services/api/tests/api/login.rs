//! Logging in with an issuer: the whole round, and every token and answer that must not let anybody in.

use api::Settings;
use fake_oidc::{Client, FakeIssuer, Key, Lie};
use reqwest::header::{LOCATION, SET_COOKIE};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::World;
use bus::topology::SESSIONS;

const BEGIN: &str = "/api/v1/login/oidc";
const SESSION: &str = "/api/v1/session";
const PUBLIC: &str = "http://ctrlplane.test";
const SECRET: &str = "the client's: secret/1";

struct Login {
    issuer: FakeIssuer,
    world: World,
    /// Where the client's secret is: a replica reads it when it starts.
    _secrets: tempfile::TempDir,
}

impl Login {
    async fn start() -> Self {
        let client = Client {
            id: "ctrlplane".to_owned(),
            secret: Some(SECRET.to_owned()),
            redirect_uri: format!("{PUBLIC}/api/v1/login/oidc/callback"),
        };
        let issuer = FakeIssuer::start(client).await.expect("a port");
        issuer.person(ann());
        let secrets = tempfile::tempdir().expect("a directory");
        let secret_file = secrets.path().join("client-secret");
        std::fs::write(&secret_file, format!("{SECRET}\n")).expect("written");
        let world = World::started(|settings: &mut Settings| {
            settings.auth.public_url = Some(PUBLIC.to_owned());
            settings.oidc.issuer = Some(issuer.issuer().to_owned());
            settings.oidc.client_id = Some("ctrlplane".to_owned());
            settings.oidc.client_secret_file = Some(secret_file);
            settings.oidc.name = Some("Example".to_owned());
            settings.oidc.roles = ["platform=admin", "shop=operator@acme"].map(str::to_owned).to_vec();
        })
        .await;
        let applied = world.apply("adam", crate::harness::SHOP, false).await;
        assert_eq!(applied.status, StatusCode::OK, "{applied:?}");
        Self { issuer, world, _secrets: secrets }
    }

    /// Begins a login: the cookie of the attempt, and where the browser is sent.
    async fn begin(&self) -> (String, String) {
        let response = self.world.request(Method::GET, BEGIN).send().await.expect("answered");
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        let set = cookies(&response).remove(0);
        assert!(set.contains("HttpOnly; SameSite=Lax"), "{set}");
        (set.split(';').next().expect("a cookie").to_owned(), location(&response))
    }

    /// Goes to the issuer and tells what it sends back with.
    async fn at_issuer(&self, url: &str) -> String {
        let browser =
            reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build();
        let response = browser.expect("a client").get(url).send().await.expect("answered");
        assert_eq!(response.status(), StatusCode::FOUND, "{url}");
        let back = location(&response);
        back.strip_prefix(PUBLIC).expect("back to us").to_owned()
    }

    async fn back(&self, cookie: Option<&str>, path: &str) -> Response {
        let mut request = self.world.request(Method::GET, path);
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        request.send().await.expect("answered")
    }

    /// The whole round.
    async fn round(&self) -> Response {
        let (cookie, to) = self.begin().await;
        let back = self.at_issuer(&to).await;
        self.back(Some(&cookie), &back).await
    }

    /// Fails when somebody is let in, or not told why not.
    async fn refused(&self, response: Response, status: u16, why: &str) {
        assert_eq!(response.status().as_u16(), status, "{why}");
        assert!(cookies(&response).iter().all(|cookie| !cookie.contains("cps_")), "{why}");
        let problem: Value = response.json().await.expect("a problem");
        let detail = problem["detail"].as_str().expect("a reason");
        assert!(detail.contains(why) && !detail.contains(SECRET), "{why:?}: {detail}");
    }

    async fn end(self) {
        self.world.end().await;
        self.issuer.stop().await;
    }
}

fn ann() -> Value {
    json!({ "sub": "1", "email": "ann@example.com", "email_verified": true, "groups": ["shop", "other"] })
}

fn cookies(response: &Response) -> Vec<String> {
    let set = response.headers().get_all(SET_COOKIE).into_iter();
    set.map(|value| value.to_str().expect("text").to_owned()).collect()
}

fn location(response: &Response) -> String {
    response.headers()[LOCATION].to_str().expect("text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_the_issuer_lets_in_gets_the_roles_of_their_groups() {
    let login = Login::start().await;
    let ways: Value =
        login.world.request(Method::GET, "/api/v1/login").send().await.unwrap().json().await.unwrap();
    assert_eq!(ways, json!({ "oidc": true, "name": "Example" }));

    let response = login.round().await;
    assert_eq!(
        (response.status(), location(&response).as_str()),
        (StatusCode::SEE_OTHER, "/console/?signed-in")
    );
    let set = cookies(&response);
    let session = set.iter().find(|cookie| cookie.starts_with("ctrlplane_session=")).expect("a session");
    assert!(session.contains("HttpOnly; SameSite=Strict"), "{session}");
    assert!(set.iter().any(|cookie| cookie.starts_with("ctrlplane_login=;")), "the attempt is over: {set:?}");
    let cookie = session.split(';').next().unwrap();
    let told = login.world.request(Method::GET, SESSION).header("cookie", cookie).send().await.unwrap();
    let told: Value = told.json().await.unwrap();
    assert_eq!(
        (&told["name"], &told["role"], &told["workspace"]),
        (&json!("ann@example.com"), &json!("operator"), &json!("acme"))
    );
    let audit = login.world.get("adam", "/api/v1/workspaces/acme/audit?action=login").await;
    assert_eq!(audit.json["items"][0]["actor"]["key"], "ann@example.com", "{audit:?}");

    login.issuer.person(json!({ "sub": "2", "email": "bob@example.com", "groups": "platform" }));
    let response = login.round().await;
    let set = cookies(&response);
    let cookie =
        set.iter().find_map(|cookie| cookie.split(';').next().filter(|c| c.contains("cps_"))).unwrap();
    let told = login.world.request(Method::GET, SESSION).header("cookie", cookie).send().await.unwrap();
    let told: Value = told.json().await.unwrap();
    assert_eq!((&told["role"], &told["workspace"]), (&json!("admin"), &Value::Null));
    login.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_wrong_token_lets_anybody_in() {
    let login = Login::start().await;
    for (lie, why) in [
        (Lie::Expired, "time is over"),
        (Lie::OtherAudience, "audience"),
        (Lie::OtherIssuer, "issuer"),
        (Lie::OtherNonce, "nonce"),
        (Lie::NoNonce, "nonce"),
        (Lie::Forged, "signature"),
        (Lie::Changed, "signature"),
        (Lie::Unsigned, "not accepted"),
        (Lie::PublicKeyAsSecret, "not accepted"),
    ] {
        login.issuer.lie(Some(lie));
        let response = login.round().await;
        login.refused(response, 403, why).await;
    }
    login.issuer.lie(None);
    assert_eq!(login.round().await.status(), StatusCode::SEE_OTHER);
    // An issuer may change its keys, and their kind.
    login.issuer.sign_with(Key::Curve);
    let response = login.round().await;
    assert_eq!(response.status().as_u16(), 403, "keys are not asked for at every unknown one");
    login.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_may_sign_with_a_curve() {
    let login = Login::start().await;
    login.issuer.sign_with(Key::Curve);
    assert_eq!(login.round().await.status(), StatusCode::SEE_OTHER);
    login.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_browser_that_began_a_login_ends_it_and_only_once() {
    let login = Login::start().await;
    let (cookie, to) = login.begin().await;
    let back = login.at_issuer(&to).await;
    let (others_cookie, others_to) = login.begin().await;
    let others_back = login.at_issuer(&others_to).await;

    // The code of another login, and another browser: both have no state of theirs.
    login.refused(login.back(Some(&cookie), &others_back).await, 403, "another login").await;
    login.refused(login.back(Some(&others_cookie), &back).await, 403, "another login").await;
    login.refused(login.back(None, &back).await, 403, "began no login").await;
    let no_state = format!("{}&x=1", back.split("&state=").next().unwrap());
    login.refused(login.back(Some(&cookie), &no_state).await, 403, "another login").await;
    assert_eq!(login.issuer.exchanges(), 0, "no code was used");

    // A code that was stolen is of no use with the verifier of another attempt, though its state be right.
    let state = |path: &str| path.split("state=").nth(1).unwrap().to_owned();
    let code = |path: &str| path.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let mixed = format!("/api/v1/login/oidc/callback?code={}&state={}", code(&others_back), state(&back));
    login.refused(login.back(Some(&cookie), &mixed).await, 403, "invalid_grant").await;

    assert_eq!(login.back(Some(&cookie), &back).await.status(), StatusCode::SEE_OTHER);
    login.refused(login.back(Some(&cookie), &back).await, 403, "invalid_grant").await;
    login.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_nobody_here_is_told_why() {
    let login = Login::start().await;
    for (person, why) in [
        (json!({ "sub": "1", "email": "eve@example.com", "groups": ["other"] }), "no group"),
        (json!({ "sub": "1", "email": "eve@example.com" }), "no group"),
        (
            json!({ "sub": "1", "email": "eve@example.com", "email_verified": false, "groups": ["shop"] }),
            "verified",
        ),
        (json!({ "sub": "1", "groups": ["shop"] }), "email"),
    ] {
        login.issuer.person(person);
        let response = login.round().await;
        login.refused(response, 403, why).await;
    }
    login.issuer.refuse(true);
    let response = login.round().await;
    login.refused(response, 403, "access_denied").await;
    login.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_what_the_settings_say_now_and_an_admin_of_everything_ends_it() {
    let login = Login::start().await;
    let response = login.round().await;
    let set = cookies(&response);
    let cookie = set.iter().find_map(|set| set.split(';').next().filter(|c| c.contains("cps_"))).unwrap();
    let status = async |world: &World| {
        world.request(Method::GET, SESSION).header("cookie", cookie).send().await.unwrap().status()
    };
    assert_eq!(status(&login.world).await, StatusCode::OK);

    // Whoever changes the roles, or leaves the issuer, need not wait for the sessions to end.
    let changed = async |change: fn(&mut Settings)| {
        let replica = login.world.replica_with(change).await;
        let told = replica.request(Method::GET, SESSION).header("cookie", cookie).send().await.unwrap();
        (told.status(), told.json::<Value>().await.unwrap()["role"].clone())
    };
    let raised = changed(|settings| settings.oidc.roles = vec!["shop=approver@acme".to_owned()]).await;
    assert_eq!(raised, (StatusCode::OK, json!("approver")));
    let taken = changed(|settings| settings.oidc.roles = vec!["platform=admin".to_owned()]).await;
    assert_eq!(taken.0, StatusCode::UNAUTHORIZED);
    let left = changed(|settings| settings.oidc.issuer = None).await;
    assert_eq!(left.0, StatusCode::UNAUTHORIZED);

    let path = "/api/v1/sessions?user=ann@example.com";
    for (key, refused) in [("olga", StatusCode::NOT_FOUND), ("anna", StatusCode::FORBIDDEN)] {
        assert_eq!(login.world.ask(key, Method::DELETE, path, None).await.status, refused, "{key}");
    }
    let other = login.world.ask("adam", Method::DELETE, "/api/v1/sessions?user=bob", None).await;
    assert_eq!((other.status, &other.json["ended"]), (StatusCode::OK, &json!(0)));
    assert_eq!(status(&login.world).await, StatusCode::OK);
    let ended = login.world.ask("adam", Method::DELETE, path, None).await;
    assert_eq!((ended.status, &ended.json["ended"]), (StatusCode::OK, &json!(1)), "{ended:?}");
    assert_eq!(status(&login.world).await, StatusCode::UNAUTHORIZED);
    assert!(login.world.bus.bucket(&SESSIONS).list(">").await.unwrap().is_empty());
    let audit = login.world.get("adam", "/api/v1/audit?kind=Session&action=revoke").await;
    let newest = &audit.json["items"][0];
    assert_eq!(
        (&newest["object"]["name"], &newest["actor"]["key"]),
        (&json!("ann@example.com"), &json!("adam"))
    );
    login.end().await;
}
