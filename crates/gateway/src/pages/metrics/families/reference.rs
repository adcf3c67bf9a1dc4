//! The families of `LiteLLM`'s names that Hale has numbers for, with its labels.
//!
//! Part of the table of families. Always true: dashboards that were made for `LiteLLM` find the same names and the same sets of
//! labels; a label that Hale has no value for is empty.

use super::super::labels::Label::{
    self, ApiBase, ApiKeyAlias, ApiProvider, CallbackName, ClientIp, EndUser, ErrorClass,
    ExceptionClass, ExceptionStatus, FallbackModel, FunctionName, HashedApiKey, LitellmModelName,
    Model, ModelGroup, ModelId, OrgAlias, OrgId, Postgres, Redis, RequestedModel, Route,
    ServiceTier, StatusCode, Team, TeamAlias, User, UserAgent, UserEmail,
};
use super::super::source;
use super::Read::{Deployment, DeploymentRows, Once, Process, Requests, Service};
use super::{Buckets, Family, OfRequests, counter, gauge, histogram};
use crate::metrics::{Counters, Helped, PER_TOKEN, Sum};
use crate::redis_client;

const PROXY_TOTAL: &[Label] = &[
    EndUser,
    HashedApiKey,
    ApiKeyAlias,
    RequestedModel,
    Team,
    TeamAlias,
    User,
    StatusCode,
    UserEmail,
    Route,
    ClientIp,
    UserAgent,
    ModelId,
    ApiProvider,
    OrgId,
    OrgAlias,
];
const PROXY_FAILED: &[Label] = &[
    EndUser,
    HashedApiKey,
    ApiKeyAlias,
    RequestedModel,
    Team,
    TeamAlias,
    User,
    UserEmail,
    ExceptionStatus,
    ExceptionClass,
    Route,
    ClientIp,
    UserAgent,
    ModelId,
    ApiProvider,
    OrgId,
    OrgAlias,
];
const TOTAL_LATENCY: &[Label] = &[
    ModelGroup,
    EndUser,
    HashedApiKey,
    ApiKeyAlias,
    RequestedModel,
    Team,
    TeamAlias,
    User,
    Model,
    ModelId,
    ApiProvider,
    ServiceTier,
    OrgId,
    OrgAlias,
];
const API_LATENCY: &[Label] = &[
    ModelGroup,
    Model,
    HashedApiKey,
    ApiKeyAlias,
    Team,
    TeamAlias,
    RequestedModel,
    EndUser,
    User,
    ModelId,
    ApiProvider,
    ServiceTier,
    OrgId,
    OrgAlias,
];
const QUEUE: &[Label] = &[
    EndUser,
    HashedApiKey,
    ApiKeyAlias,
    RequestedModel,
    Team,
    TeamAlias,
    User,
    Model,
    ModelId,
    ApiProvider,
    OrgId,
    OrgAlias,
];
const OF_KEY: &[Label] =
    &[ModelGroup, ApiProvider, ApiBase, LitellmModelName, HashedApiKey, ApiKeyAlias, ModelId];
const SPEND: &[Label] = &[
    EndUser,
    HashedApiKey,
    ApiKeyAlias,
    Model,
    Team,
    TeamAlias,
    User,
    UserEmail,
    ClientIp,
    UserAgent,
    RequestedModel,
    ModelId,
    ApiProvider,
    ServiceTier,
    OrgId,
    OrgAlias,
];
const REQUESTS: &[Label] = &[
    EndUser,
    HashedApiKey,
    ApiKeyAlias,
    Model,
    Team,
    TeamAlias,
    User,
    UserEmail,
    ClientIp,
    UserAgent,
    RequestedModel,
    ModelId,
    ApiProvider,
    OrgId,
    OrgAlias,
];
const TOKENS: &[Label] = &[
    EndUser,
    HashedApiKey,
    ApiKeyAlias,
    Model,
    Team,
    TeamAlias,
    User,
    UserEmail,
    RequestedModel,
    ModelId,
    ApiProvider,
    OrgId,
    OrgAlias,
];
const TOKEN_DETAILS: &[Label] = &[
    EndUser,
    HashedApiKey,
    ApiKeyAlias,
    Model,
    Team,
    TeamAlias,
    User,
    UserEmail,
    RequestedModel,
    ModelId,
    ApiProvider,
];
const CACHE: &[Label] =
    &[Model, HashedApiKey, ApiKeyAlias, Team, TeamAlias, EndUser, User, ModelId, ApiProvider];
const API_FAILED: &[Label] =
    &[EndUser, HashedApiKey, ApiKeyAlias, Model, Team, TeamAlias, User, ModelId];
const STATE: &[Label] = &[LitellmModelName, ModelId, ApiBase, ApiProvider];
const COOLED: &[Label] = &[LitellmModelName, ModelId, ApiBase, ApiProvider, ExceptionStatus];
const LIMIT: &[Label] = &[ModelGroup, LitellmModelName, ModelId, ApiBase, ApiProvider];
const CALLS: &[Label] = &[
    ModelGroup,
    RequestedModel,
    LitellmModelName,
    ModelId,
    ApiBase,
    ApiProvider,
    HashedApiKey,
    ApiKeyAlias,
    Team,
    TeamAlias,
    ClientIp,
    UserAgent,
];
const FAILURES: &[Label] = &[
    ModelGroup,
    RequestedModel,
    LitellmModelName,
    ModelId,
    ApiBase,
    ApiProvider,
    ExceptionStatus,
    ExceptionClass,
    HashedApiKey,
    ApiKeyAlias,
    Team,
    TeamAlias,
    ClientIp,
    UserAgent,
];
const PER_OUTPUT_TOKEN: &[Label] = &[
    ModelGroup,
    LitellmModelName,
    ModelId,
    ApiBase,
    ApiProvider,
    HashedApiKey,
    ApiKeyAlias,
    Team,
    TeamAlias,
    OrgId,
    OrgAlias,
];
const FALLBACKS: &[Label] = &[
    RequestedModel,
    FallbackModel,
    HashedApiKey,
    ApiKeyAlias,
    Team,
    TeamAlias,
    ExceptionStatus,
    ExceptionClass,
    ModelId,
];
const NONE: &[Label] = &[];

fn tokens(counters: &Counters) -> u64 {
    counters.sum(Sum::Input) + counters.sum(Sum::Output)
}

/// All of them.
#[rustfmt::skip]
pub(super) const FAMILIES: &[Family] = &[
    counter("litellm_proxy_total_requests_metric", "requests", PROXY_TOTAL, Requests(OfRequests::Rows(source::requests)), "Requests of clients for a model, by path and status"),
    counter("litellm_proxy_failed_requests_metric", "requests", PROXY_FAILED, Requests(OfRequests::Rows(source::failed_requests)), "Requests of clients that failed, by path, status and class of the error"),
    histogram("litellm_request_total_latency_metric", TOTAL_LATENCY, Requests(OfRequests::AnsweredSeconds(|c| &c.duration, Buckets::Latency)), "From arrival to the end of the answer, of answered requests"),
    histogram("litellm_llm_api_latency_metric", API_LATENCY, Requests(OfRequests::AnsweredSeconds(|c| &c.upstream, Buckets::Latency)), "From the start of the last upstream call to the end of its answer, of answered requests"),
    histogram("litellm_llm_api_time_to_first_token_metric", API_LATENCY, Requests(OfRequests::AnsweredSeconds(|c| &c.first_token, Buckets::Latency)), "From the start of the last upstream call to the first content of a stream"),
    histogram("litellm_request_queue_time_seconds", QUEUE, Requests(OfRequests::Seconds(source::queue_time)), "How long answered requests waited for their turn at a deployment"),
    histogram("litellm_overhead_latency_metric", OF_KEY, Requests(OfRequests::AnsweredSeconds(|c| &c.overhead, Buckets::Latency)), "The gateway's own share of the time of answered requests"),
    histogram("litellm_overhead_with_guardrails_latency_metric", OF_KEY, Requests(OfRequests::AnsweredSeconds(|c| &c.overhead, Buckets::Latency)), "The same: there are no guardrails"),
    counter("litellm_spend_metric", "usd", SPEND, Requests(OfRequests::AnsweredUsd(Sum::NanoUsd)), "Cost of answers, where the price is known"),
    counter("litellm_requests_metric", "requests", REQUESTS, Requests(OfRequests::Rows(source::answered)), "Answered requests; litellm_proxy_total_requests_metric tells more"),
    counter("litellm_total_tokens_metric", "tokens", TOKENS, Requests(OfRequests::Answered(tokens)), "Tokens of prompts and answers"),
    counter("litellm_input_tokens_metric", "tokens", TOKENS, Requests(OfRequests::Answered(|c| c.sum(Sum::Input))), "Tokens of prompts"),
    counter("litellm_output_tokens_metric", "tokens", TOKENS, Requests(OfRequests::Answered(|c| c.sum(Sum::Output))), "Tokens of answers"),
    counter("litellm_images_generated_metric", "images", TOKENS, Requests(OfRequests::Answered(|c| c.sum(Sum::Images))), "Images that were made"),
    counter("litellm_input_cached_tokens_metric", "tokens", TOKEN_DETAILS, Requests(OfRequests::Answered(|c| c.sum(Sum::CachedInput))), "Tokens of prompts that the provider's cache had"),
    counter("litellm_input_cache_creation_tokens_metric", "tokens", TOKEN_DETAILS, Requests(OfRequests::Answered(|c| c.sum(Sum::CacheCreation))), "Tokens of prompts that were written to the provider's cache"),
    counter("litellm_input_audio_tokens_metric", "tokens", TOKEN_DETAILS, Requests(OfRequests::Answered(|c| c.sum(Sum::AudioInput))), "Audio tokens of prompts"),
    counter("litellm_output_reasoning_tokens_metric", "tokens", TOKEN_DETAILS, Requests(OfRequests::Answered(|c| c.sum(Sum::Reasoning))), "Tokens of answers that were spent on reasoning"),
    counter("litellm_output_audio_tokens_metric", "tokens", TOKEN_DETAILS, Requests(OfRequests::Answered(|c| c.sum(Sum::AudioOutput))), "Audio tokens of answers"),
    counter("litellm_cache_hits_metric", "requests", CACHE, Requests(OfRequests::Rows(source::cache_hits)), "Requests that an answer of the cache answered"),
    counter("litellm_cache_misses_metric", "requests", CACHE, Requests(OfRequests::Rows(source::cache_misses)), "Answered requests of which the cache had no answer"),
    counter("litellm_provider_cache_read_input_tokens_metric", "tokens", CACHE, Requests(OfRequests::Answered(|c| c.sum(Sum::CachedInput))), "Tokens of prompts that the provider's cache had"),
    counter("litellm_provider_cache_creation_input_tokens_metric", "tokens", CACHE, Requests(OfRequests::Answered(|c| c.sum(Sum::CacheCreation))), "Tokens of prompts that were written to the provider's cache"),
    counter("litellm_llm_api_failed_requests_metric", "requests", API_FAILED, Requests(OfRequests::Rows(source::unanswered)), "Requests that were not answered; litellm_proxy_failed_requests_metric tells more"),
    gauge("litellm_in_flight_requests", "requests", NONE, Process(|p| p.metrics.in_flight.load(std::sync::atomic::Ordering::Relaxed)), "Requests of clients under way"),
    gauge("litellm_deployment_state", "", STATE, Deployment(|s, d| Some(s.outage(d))), "0 healthy; 1 its last call or probe failed, or requests come back one by one; 2 it gets no traffic because of its health or its configuration"),
    counter("litellm_deployment_total_requests", "calls", CALLS, DeploymentRows(source::calls), "Upstream calls that ended, but for those whose client left"),
    counter("litellm_deployment_success_responses", "calls", CALLS, Deployment(|_, d| Some(d.state.successes()).filter(|count| *count > 0)), "Upstream calls with a good answer"),
    counter("litellm_deployment_failure_responses", "calls", FAILURES, DeploymentRows(source::failures), "Upstream calls that failed, by status and class of the error; what the client did is among them, a client that left is not"),
    counter("litellm_deployment_cooled_down", "cooldowns", COOLED, DeploymentRows(source::cooled_down), "Cooldowns of a deployment that have begun, by the status of the failure that they came from"),
    histogram("litellm_deployment_latency_per_output_token", PER_OUTPUT_TOKEN, Requests(OfRequests::AnsweredSeconds(|c| &c.per_token, Buckets::Of(PER_TOKEN))), "The time of the last upstream call by the tokens of its answer"),
    counter("litellm_deployment_successful_fallbacks", "requests", FALLBACKS, Once(|s, put| source::fallbacks(s, Helped::Yes, put)), "Groups that answered a request after others could not; the error is the one in the first group"),
    counter("litellm_deployment_failed_fallbacks", "requests", FALLBACKS, Once(|s, put| source::fallbacks(s, Helped::No, put)), "Groups that were tried after others and could not answer either"),
    gauge("litellm_deployment_tpm_limit", "tokens", LIMIT, Deployment(|_, d| d.routing.limits.tpm), "Tokens a minute that the config allows"),
    gauge("litellm_deployment_rpm_limit", "requests", LIMIT, Deployment(|_, d| d.routing.limits.rpm), "Requests a minute that the config allows"),
    gauge("litellm_remaining_requests_metric", "requests", OF_KEY, Deployment(|s, d| s.serving.series(d.index).requests_left.get()), "Requests that are left of the provider's limit, as its last answer said"),
    gauge("litellm_remaining_tokens_metric", "tokens", OF_KEY, Deployment(|s, d| s.serving.series(d.index).tokens_left.get()), "Tokens that are left of the provider's limit, as its last answer said"),
    gauge("litellm_provider_remaining_budget_metric", "usd", &[ApiProvider], Once(source::budgets_of_providers), "What is left of a provider's budget in its window, USD"),
    counter("litellm_callback_logging_failures_metric", "records", &[CallbackName], Once(source::callbacks), "Requests to a sink that failed, and records that a file did not take, by sink"),
    histogram("litellm_redis_latency", &[Redis], Service(|_, bounds, put| source::service_seconds(redis_client::calls(), "", bounds, put)), "How long the calls of Redis took that succeeded"),
    counter("litellm_redis_total_requests", "calls", &[Redis], Service(|_, _, put| source::service_calls(redis_client::calls(), put)), "Calls of Redis"),
    counter("litellm_redis_failed_requests", "calls", &[Redis, ErrorClass, FunctionName], Service(|_, _, put| source::service_failures(redis_client::calls(), put)), "Calls of Redis that failed, by class and by what was called"),
    histogram("litellm_postgres_latency", &[Postgres], Service(|s, bounds, put| source::service_seconds(&s.process.metrics.postgres, "", bounds, put)), "How long the calls of PostgreSQL took that succeeded"),
    counter("litellm_postgres_total_requests", "calls", &[Postgres], Service(|s, _, put| source::service_calls(&s.process.metrics.postgres, put)), "Calls of PostgreSQL"),
    counter("litellm_postgres_failed_requests", "calls", &[Postgres, ErrorClass, FunctionName], Service(|s, _, put| source::service_failures(&s.process.metrics.postgres, put)), "Calls of PostgreSQL that failed, by class and by what was called"),
];
