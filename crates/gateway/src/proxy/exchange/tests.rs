//! An exchange whose answer broke can still try another deployment, as long as it holds its body.

use std::rc::Rc;

use bytes::Bytes;
use hale_core::config::{InMemory, Options, load};
use hale_core::operation::Operation;
use hale_core::route::Controls;
use hale_core::usage::Units;
use hale_wire::peek::Peek;
use tokio::runtime::LocalOptions;

use super::*;
use crate::http::auth::Principal;
use crate::http::browser::Reach;
use crate::http::connection::ClientConn;
use crate::limits::Held;
use crate::proxy::attempt::{AnswerForm, Content};
use crate::proxy::dialect::Dialect;
use crate::proxy::model_request::{Body, Shows};
use crate::sink::Sinks;
use crate::state::{Process, Worker};

const CONFIG: &str = "
model_list:
- {model_name: m, model_info: {id: a}, litellm_params: {model: openai/x, api_key: k, mock_response: one}}
- {model_name: m, model_info: {id: b}, litellm_params: {model: openai/x, api_key: k, mock_response: two}}
router_settings: {num_retries: 3}
";

/// A stream's exchange with a body of `bytes`.
fn exchange(process: &Arc<Process>, bytes: usize) -> Exchange {
    let serving = process.serving();
    let arrival = Arrival {
        worker: Rc::new(Worker::new(process.clone())),
        connection: Rc::new(ClientConn::new(None)),
        serving: serving.clone(),
        at: clock::now(),
        call_id: "call".into(),
        principal: Principal::Operator,
    };
    let controls =
        Controls { stream: true, operation: Some(Operation::Chat), ..Controls::default() };
    let now = clock::now().millis();
    let plan = RoutePlan::named(&serving.snapshot, "m", controls.clone(), now).unwrap();
    let text = "x".repeat(bytes);
    let body =
        format!(r#"{{"model": "m", "messages": [{{"role": "user", "content": "{text}"}}]}}"#);
    let mut held = Held::none(&process.buffered);
    assert!(held.add(body.len(), usize::MAX));
    let peek = Peek::parse(Bytes::from(body)).unwrap();
    let request = ModelRequest {
        operation: Operation::Chat,
        body: Some(Body::new(peek, held)),
        model: "m".into(),
        stored: None,
        owner: hale_core::tenancy::Owner::NONE,
        object: None,
        controls,
        form: AnswerForm::Events,
        units: Units::default(),
        dialect: Dialect::default(),
        passed: None,
        simulated: None,
        cache_wish: None,
        history: None,
        shows: Shows::default(),
    };
    let (head, ()) = http::Request::new(()).into_parts();
    let delivery = Delivery::begin(&arrival, Operation::Chat, &head);
    Exchange::new(arrival, request, plan, delivery)
}

/// The first answer that the attempts yield.
async fn answer(exchange: &mut Exchange) -> Result<(Winner, Answered), Refusal> {
    match exchange.attempt_until_answered(None).await? {
        Attempted::Answered(winner, answered) => Ok((winner, answered)),
        Attempted::Waits(_) => panic!("every way is open"),
    }
}

/// Attempts again after the first answer, a stream, broke; gives whether the deployments differ.
async fn ask_again(exchange: &mut Exchange) -> Result<bool, Refusal> {
    let begun = Begun { at: clock::now(), resends: exchange.delivery.sending.resends() };
    let (first, answered) = answer(exchange).await?;
    assert!(matches!(answered.content, Content::Stream(_)));
    exchange.delivery.first_content(answered.guard, clock::now());
    exchange.request.keep_small_body(1 << 30);
    exchange.failed(&first.plan, Failed::cut("the stream was cut"), &begun);
    let (second, answered) = answer(exchange).await?;
    assert!(matches!(answered.content, Content::Stream(_)));
    Ok(first.plan.deployment != second.plan.deployment)
}

#[test]
fn a_broken_answer_can_be_followed_by_another_deployments_while_the_body_is_held() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let source = InMemory::file("c.yaml", CONFIG);
        let snapshot = load(&source, "c.yaml", Options::default(), None).snapshot.unwrap();
        let sinks = Sinks::none();
        let process = Arc::new(Process::new(snapshot, sinks, Reach::ThisMachine));
        assert_eq!(ask_again(&mut exchange(&process, 1000)).await.ok(), Some(true));
        let refusal = ask_again(&mut exchange(&process, 300 << 10)).await.unwrap_err();
        assert!(refusal.reply.message.contains("no longer held"), "{}", refusal.reply.message);
    });
}
