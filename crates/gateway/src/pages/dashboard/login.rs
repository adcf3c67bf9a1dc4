//! The pages that begin, show and end a session of the dashboard.
//!
//! Called by the router. Always true: a session stands for the master key or for one key, so that a browser may do what that key may,
//! by the same checks; a key that does not work begins none, and ends the one that stands for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hale_core::tenancy::KeyHash;
use hale_core::tenancy::access::KeyAccess;
use hale_core::tenancy::key_text::is_key;
use hale_wire::id::IdKey;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::session::{self, Holder, Session, cookies, sent, written};
use super::sign_in;
use crate::clock;
use crate::http::auth::{self, Principal};
use crate::http::browser;
use crate::http::refusal::{self, Refusal};
use crate::http::reply::{self, Reply};
use crate::limits::Held;
use crate::pages::{PageRequest, Waiting};

/// What a browser is told of its session.
fn told(session: &Session, key: &IdKey, principal: &Principal) -> Value {
    let access = principal.access();
    let identity = access.map(|access| &access.identity);
    json!({
        "session": "begun",
        "token": session.token(key),
        "until_s": session.until_s,
        "may_act": principal.is_operator(),
        "sees_all": principal.sees(|_| false),
        "role": access.map_or("proxy_admin", |access| access.role.name()),
        "key": access.map(|access| &*access.masked),
        "user": identity.and_then(|one| one.user.as_deref()),
        "user_email": identity.and_then(|one| one.user_email.as_deref()),
        "team": identity.and_then(|one| one.team.as_deref()),
        "team_alias": identity.and_then(|one| one.team_alias.as_deref()),
    })
}

/// Who a session is.
async fn principal(request: &PageRequest<'_>, holder: Holder) -> Result<Principal, Refusal> {
    match holder {
        Holder::Operator => Ok(Principal::Operator),
        Holder::Key(hash) => {
            let arrival = request.arrival;
            let found = auth::key_of(&arrival.worker.process.keys, hash).await?;
            let principal = Principal::Key(found);
            auth::check_dashboard(&arrival.serving.snapshot.gateway, &principal)?;
            Ok(principal)
        }
    }
}

/// `GET /ui/session`: whether there is a session, its token and what it may do. Renews it.
pub(crate) fn show(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let serving = &request.arrival.serving;
        if browser::is_foreign(request.head) {
            return Err(refusal::foreign_page());
        }
        if serving.snapshot.gateway.master_key.is_none() {
            let page = json!({"session": "open", "may_act": false, "sees_all": true});
            return Ok(answer(&page, None));
        }
        let needed = json!({"session": "needed", "may_act": false});
        if cookies(&request.head.headers).next().is_none() {
            return Ok(answer(&needed, None));
        }
        serving.ids.ready().await;
        let now_s = clock::unix_ms() / 1000;
        let key = serving.ids.key();
        let found =
            key.and_then(|key| Some((key, Session::of(&request.head.headers, key, now_s)?)));
        let Some((key, session)) = found else { return Ok(answer(&needed, None)) };
        let principal = match principal(&request, session.holder).await {
            Ok(principal) => principal,
            // The store does not answer: it is not known that the key is gone.
            Err(refusal) if refusal.status.is_server_error() => return Err(refusal),
            Err(_) => {
                let over = written("", 0, sent(&request.head.headers));
                return Ok(answer(&needed, Some(over)));
            }
        };
        let renewed = session.renewed(now_s);
        let cookie = renewed.as_ref().map(|session| session.cookie(key, now_s));
        let session = renewed.unwrap_or(session);
        Ok(answer(&told(&session, key, &principal), cookie))
    })
}

/// The body of a login: a key, or the name of a user with its password.
#[derive(Deserialize)]
struct Login {
    key: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

/// The name under which the master key is a password.
const ADMIN: &str = "admin";

/// `POST /ui/login`: begins a session for the holder of the master key or of a key that works, or for a user with its password.
pub(crate) fn login(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let (arrival, head) = (request.arrival, request.head);
        if browser::is_foreign(head) {
            return Err(refusal::foreign_page());
        }
        let Some(master) = &arrival.serving.snapshot.gateway.master_key else {
            return Err(refusal::no_admin());
        };
        let mut held = Held::none(&arrival.worker.process.buffered);
        let body = request.read_body(incoming, &mut held).await?;
        let login = serde_json::from_slice::<Login>(&body).ok();
        let found = match login {
            Some(Login { key: Some(key), .. }) if auth::is_master_key(key.trim(), master) => {
                Ok(Principal::Operator)
            }
            Some(Login { key: Some(key), .. }) => {
                of_key(&request, key.trim()).await.map(Principal::Key)
            }
            Some(Login { username: Some(name), password: Some(password), .. }) => {
                if name == ADMIN && auth::is_master_key(&password, master) {
                    Ok(Principal::Operator)
                } else {
                    sign_in::by_password(&request, (&name, password)).await
                }
            }
            Some(_) | None => {
                let problem = "expected an object with `key`, or with `username` and `password`";
                return Err(refusal::bad_parameter("key", problem));
            }
        };
        let principal = found.inspect_err(|_| {
            arrival.worker.process.metrics.refused_keys.fetch_add(1, Ordering::Relaxed);
        })?;
        auth::check_dashboard(&arrival.serving.snapshot.gateway, &principal)?;
        begin(&request, &principal).await
    })
}

/// What the holder of a key may do that works.
async fn of_key(request: &PageRequest<'_>, key: &str) -> Result<Arc<KeyAccess>, Refusal> {
    if !is_key(key) {
        return Err(refusal::wrong_key());
    }
    let found = auth::key_of(&request.arrival.worker.process.keys, KeyHash::of(key)).await;
    // That a key is unknown is said in the same words as that it is not the master key.
    let wrong = refusal::wrong_key();
    found.map_err(
        |refusal| {
            if refusal.reply.reason == wrong.reply.reason { wrong } else { refusal }
        },
    )
}

/// The answer that begins a session.
async fn begin(
    request: &PageRequest<'_>,
    principal: &Principal,
) -> Result<Response<Reply>, Refusal> {
    let ids = &request.arrival.serving.ids;
    ids.ready().await;
    let Some(key) = ids.key() else { return Err(refusal::own_fault()) };
    let now_s = clock::unix_ms() / 1000;
    let holder = principal.access().map_or(Holder::Operator, |access| Holder::Key(access.hash));
    let session = Session::new(now_s, sent(&request.head.headers), holder);
    Ok(answer(&told(&session, key, principal), Some(session.cookie(key, now_s))))
}

/// `POST /ui/logout`: the browser forgets the session, and a key that was made for it is deleted.
pub(crate) fn logout(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let headers = &request.head.headers;
        if browser::is_foreign(request.head) {
            return Err(refusal::foreign_page());
        }
        // Only the page itself knows the token, so that no other one ends a session.
        if let Some(Holder::Key(hash)) = session::holder(&request.arrival.serving, request.head) {
            sign_in::end(&request, hash).await?;
        }
        let page = json!({"session": "ended", "may_act": false});
        Ok(answer(&page, Some(written("", 0, sent(headers)))))
    })
}

fn answer(page: &Value, cookie: Option<String>) -> Response<Reply> {
    let mut response = reply::json(StatusCode::OK, page.to_string());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}
