//! The answer to a request that was passed through.
//!
//! Called by [`super`]. Always true: what the provider says to the request goes to the client with its status; only what
//! speaks of the deployment is a failure: its key, its limits, its own faults.

use http::{HeaderMap, HeaderName, StatusCode, header};

use super::Accepted;
use super::answer::Content;
use super::bytes;
use super::call::OperationCall;
use super::error_body::{Addressed, refused};
use super::failed::Failed;
use crate::upstream::Answer;

/// Headers of one connection, and those that the gateway sets itself.
const OWN: [HeaderName; 11] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::DATE,
    header::PROXY_AUTHENTICATE,
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Accepts what the client is to see.
///
/// # Errors
/// If the deployment failed.
pub(super) async fn judge(call: &OperationCall<'_>, answer: Answer) -> Result<Accepted, Failed> {
    if speaks_of_the_deployment(answer.status) {
        return Err(refused(answer, Addressed::OnTheSide).await);
    }
    let Answer { status, headers, body, .. } = answer;
    let mut stream = bytes::read(call, &headers, body).await?;
    if let Some(head) = &mut stream.bytes {
        head.relayed = Some((status, relayed(&headers)));
    }
    Ok(Accepted { headers, content: Content::Stream(Box::new(stream)) })
}

/// Whether an answer says something of the deployment, and not of the request. What is not implemented is the request's.
fn speaks_of_the_deployment(status: StatusCode) -> bool {
    let is_fault = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
    is_fault
        || matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        )
}

/// The headers that the client sees as they are.
fn relayed(headers: &HeaderMap) -> HeaderMap {
    let mut kept = headers.clone();
    for name in &OWN {
        kept.remove(name);
    }
    let foreign: Vec<HeaderName> = kept
        .keys()
        .filter(|name| {
            let name = name.as_str();
            name.starts_with("x-litellm-")
                || name.starts_with("x-hale-")
                || name.starts_with("access-control-")
        })
        .cloned()
        .collect();
    for name in foreign {
        kept.remove(name);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_limits_and_faults_speak_of_the_deployment() {
        for (status, expected) in [
            (200, false),
            (204, false),
            (302, false),
            (400, false),
            (401, true),
            (403, false),
            (404, false),
            (408, true),
            (422, false),
            (429, true),
            (500, true),
            (501, false),
            (503, true),
            (529, true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(speaks_of_the_deployment(status), expected, "{status}");
        }
    }
}
