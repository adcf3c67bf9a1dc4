//! Forms: the scan ends for any bytes. A form that passes is sent on with the deployment's model and unchanged
//! files, and reads the same again.

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_wire::order::Order;
use hale_wire::peek::Peek;
use hale_wire::prepare::{Prepared, prepare};

use crate::bodies::SNAPSHOT;
use crate::fuzz;

const TYPE: &str = "multipart/form-data; boundary=xYz";
const WORDS: &[&str] = &[
    "\r\n--xYz\r\n",
    "\r\n--xYz--",
    "--xYz",
    "\r\n\r\n",
    "\r\n",
    "Content-Disposition: form-data; name=\"",
    "; filename=\"",
    "\"",
    "model",
    "file",
    "image[]",
    "prompt",
    "purpose",
    "batch",
    "stream",
    "true",
    "fallbacks[]",
    "metadata[x]",
    "num_retries",
    "{\"body\":{\"model\":\"x\"}}\n",
    "content-type: multipart/mixed; boundary=xYz",
    "\\",
    ";",
];

fuzz!("forms", WORDS, check);

fn check(input: &[u8]) -> (bool, usize, usize) {
    let body = Bytes::copy_from_slice(input);
    let Ok(peek) = Peek::of_form(body, TYPE) else { return (false, 0, 0) };
    let form = peek.form().expect("it is one");
    let files = |peek: &Peek| -> Vec<Vec<u8>> {
        let parts = peek.form().expect("it is one").parts();
        // Parts for the gateway are not sent on, file or not.
        let sent = parts.filter(|(name, _, is_file)| *is_file && name.starts_with(b"file"));
        sent.map(|(_, content, _)| content.to_vec()).collect()
    };
    for deployment in SNAPSHOT.deployments.iter().filter(|one| one.endpoint.mock.is_none()) {
        for operation in [Operation::Transcribe, Operation::EditImage, Operation::CreateFile] {
            if !deployment.serves(operation) {
                continue;
            }
            let order = Order {
                deployment,
                operation,
                upstream_model: "up/stream \"x\"",
                kept: None,
                client_version: None,
                ask_usage: false,
                drop_params: true,
                known: hale_core::health::Known::default(),
                prefix: None,
                seals: None,
                fetched: None,
                client_betas: None,
            };
            let Ok(Prepared::Body(_, sent, _)) = prepare(&peek, &order) else {
                panic!("what passes is never unfit")
            };
            let kind = sent.content_type.as_ref().and_then(|kind| kind.to_str().ok());
            let again =
                Peek::of_form(sent.joined(), kind.expect("a form says so")).expect("it is a form");
            if operation == Operation::CreateFile {
                assert!(!again.has("model"));
            } else {
                assert_eq!(again.string("model").unwrap().as_deref(), Some("up/stream \"x\""));
                assert_eq!(files(&again), files(&peek));
            }
        }
    }
    (true, form.parts().count().min(8), peek.members().len().min(8))
}
