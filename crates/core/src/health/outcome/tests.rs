//! The classifier from the outside.

use super::*;

fn error(code: Option<&str>, message: &str) -> ProviderError {
    ProviderError {
        message: message.to_owned(),
        code: code.map(str::to_owned),
        ..ProviderError::default()
    }
}

#[test]
fn every_row_of_the_table() {
    let plain = error(None, "");
    let rows = [
        (302, plain.clone(), Cause::NotFound),
        (400, plain.clone(), Cause::BadRequest),
        (422, plain.clone(), Cause::BadRequest),
        (413, plain.clone(), Cause::BadRequest),
        (400, error(Some("context_length_exceeded"), ""), Cause::ContextWindow),
        (400, error(None, "This model's maximum context length is 8192"), Cause::ContextWindow),
        (400, error(Some("content_filter"), ""), Cause::ContentPolicy),
        (400, error(None, "Your credit balance is too low"), Cause::Quota),
        (400, error(Some("model_decommissioned"), "has been decommissioned"), Cause::NotFound),
        (401, plain.clone(), Cause::Auth),
        (402, plain.clone(), Cause::Quota),
        (403, plain.clone(), Cause::Permission),
        (403, error(None, "Invalid API key"), Cause::Auth),
        (403, error(Some("model_not_found"), "Project `p` does not have access"), Cause::NotFound),
        (404, plain.clone(), Cause::NotFound),
        (404, error(None, "No such File object: file-1"), Cause::BadRequest),
        (408, plain.clone(), Cause::Timeout),
        (409, plain.clone(), Cause::BadRequest),
        (429, plain.clone(), Cause::RateLimited),
        (429, error(Some("insufficient_quota"), ""), Cause::Quota),
        (500, plain.clone(), Cause::ServerError),
        (502, plain.clone(), Cause::ServerError),
        (503, plain.clone(), Cause::ServerError),
        (503, error(None, "The model is overloaded"), Cause::Overloaded),
        (504, plain.clone(), Cause::Timeout),
        (529, plain.clone(), Cause::Overloaded),
        (600, plain.clone(), Cause::BadResponse),
        (0, plain, Cause::BadResponse),
    ];
    for (status, body, expected) in rows {
        assert_eq!(
            classify(&Observation::Status(status, &body)).cause,
            expected,
            "{status} {body:?}"
        );
    }
}

#[test]
fn an_error_in_band_is_read_by_its_code_then_its_words() {
    let rows = [
        (error(Some("429"), ""), Cause::RateLimited),
        (error(Some("rate_limit_exceeded"), ""), Cause::RateLimited),
        (error(Some("invalid_api_key"), ""), Cause::Auth),
        (error(None, "maximum context length"), Cause::ContextWindow),
        (error(Some("timeout_error"), ""), Cause::Timeout),
        (error(Some("request_too_large"), ""), Cause::BadRequest),
        (error(None, "boom"), Cause::ServerError),
        (error(Some("99999999"), "boom"), Cause::ServerError),
    ];
    for (body, expected) in rows {
        assert_eq!(classify(&Observation::InBand(&body)).cause, expected, "{body:?}");
    }
}

/// OpenAI's bodies, from <https://github.com/diffbot/code-gpt-docs/issues/172>,
/// <https://github.com/n8n-io/n8n/issues/18352> and
/// <https://github.com/infiniflow/ragflow/issues/1835>.
#[test]
fn the_wrong_endpoint_is_the_clients_fault() {
    let bodies = [
        (
            404,
            "This is a chat model and not supported in the v1/completions endpoint. Did you \
             mean to use v1/chat/completions?",
        ),
        (
            404,
            "This is not a chat model and thus not supported in the v1/chat/completions \
             endpoint. Did you mean to use v1/completions?",
        ),
        (404, "This model is only supported in v1/responses and not in v1/chat/completions."),
        (403, "You are not allowed to generate embeddings from this model"),
        (403, "You are not allowed to sample from this model"),
    ];
    for (status, message) in bodies {
        let body = ProviderError {
            kind: Some("invalid_request_error".to_owned()),
            ..error(None, message)
        };
        assert_eq!(classify(&Observation::Status(status, &body)).cause, Cause::BadRequest);
    }
}

/// Body: <https://github.com/TheR1D/shell_gpt/issues/653>.
#[test]
fn a_request_larger_than_a_minutes_tokens_is_too_long() {
    let body = ProviderError {
        kind: Some("tokens".to_owned()),
        ..error(
            Some("rate_limit_exceeded"),
            "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit \
             30000, Requested 50000. The input or output tokens must be reduced in order to \
             run successfully.",
        )
    };
    assert_eq!(classify(&Observation::Status(429, &body)).cause, Cause::ContextWindow);
    let other = error(Some("rate_limit_exceeded"), "Rate limit reached for gpt-4o");
    assert_eq!(classify(&Observation::Status(429, &other)).cause, Cause::RateLimited);
}

#[test]
fn a_specific_code_or_a_named_parameter_wins_over_the_words() {
    let words = "Your credit balance is too low";
    let by_code = error(Some("invalid_value"), words);
    assert_eq!(classify(&Observation::Status(400, &by_code)).cause, Cause::BadRequest);
    let by_param =
        ProviderError { param: Some("messages[0].role".to_owned()), ..error(None, words) };
    assert_eq!(classify(&Observation::Status(400, &by_param)).cause, Cause::BadRequest);
    let sentence = error(
        Some("Client specified an invalid argument"),
        "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
    );
    assert_eq!(classify(&Observation::Status(400, &sentence)).cause, Cause::ContextWindow);
}

proptest::proptest! {
    /// Whatever a provider repeats of the request, it changes nothing.
    #[test]
    fn what_a_provider_quotes_is_not_evidence(
        status in proptest::sample::select(vec![400u16, 401, 403, 404, 422, 429, 500, 503]),
        said in proptest::sample::select(vec![
            "credit balance is too low", "exceeded your current quota", "api key",
            "maximum context length", "content management policy", "no such file",
            "request too large for", "not supported in the v1/", "overloaded",
            "x' or 'credit balance is too low", "a `b` \"c\" prompt is too long",
        ]),
        quotes in proptest::sample::select(vec![("'", "'"), ("\"", "\""), ("`", "`"), ("“", "”")]),
        code in proptest::sample::select(vec![None, Some("invalid_request_error"), Some("400")]),
    ) {
        let (open, close) = quotes;
        let told = |said: &str| {
            error(code, &format!("Invalid value: {open}{said}{close}. It isn't one of those."))
        };
        let (quoted, plain) = (told(said), told("x"));
        proptest::prop_assert_eq!(
            classify(&Observation::Status(status, &quoted)).cause,
            classify(&Observation::Status(status, &plain)).cause
        );
        proptest::prop_assert_eq!(
            classify(&Observation::InBand(&quoted)).cause, classify(&Observation::InBand(&plain)).cause
        );
    }
}

fn google(code: Option<&str>, kind: &str, message: &str) -> ProviderError {
    let (code, kind) = (code.map(str::to_owned), Some(kind.to_owned()));
    ProviderError { message: message.to_owned(), kind, code, ..ProviderError::default() }
}

#[test]
fn what_a_request_refers_to_blames_no_deployment() {
    let texts = [
        (
            403,
            "PERMISSION_DENIED",
            "You do not have permission to access the File abc123 or it may not exist.",
        ),
        (403, "PERMISSION_DENIED", "CachedContent not found (or permission denied)"),
        (404, "NOT_FOUND", "CachedContent cachedContents/x not found"),
        (
            403,
            "PERMISSION_DENIED",
            "x@y.iam does not have storage.objects.get access to the Google Cloud Storage object.",
        ),
        (
            404,
            "ResourceNotFoundException",
            "The guardrail identifier or version provided in the request does not exist.",
        ),
        (
            400,
            "ValidationException",
            "The guardrail identifier or version provided in the request does not exist.",
        ),
        (
            403,
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/x is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::b/k",
        ),
    ];
    for (status, kind, message) in texts {
        let error = google(None, kind, message);
        let expected = Classified { cause: Cause::BadRequest, about: About::Unclear };
        assert_eq!(classify(&Observation::Status(status, &error)), expected, "{message}");
        assert_eq!(classify(&Observation::InBand(&error)), expected, "in band: {message}");
    }
    let denied = "User: x is not authorized to perform: bedrock:InvokeModel";
    let error = google(None, "AccessDeniedException", denied);
    assert_eq!(classify(&Observation::Status(403, &error)).cause, Cause::Permission);
    let error = google(None, "", "invalid options: num_ctx");
    assert_eq!(classify(&Observation::Status(500, &error)).cause, Cause::BadRequest);
}

#[test]
fn a_google_error_in_a_stream_is_what_it_is_over_http() {
    for (status, kind, code, message, expected) in [
        (400, "INVALID_ARGUMENT", "SOMETHING", "x", Cause::BadRequest),
        (400, "INVALID_ARGUMENT", "API_KEY_INVALID", "x", Cause::Auth),
        (403, "PERMISSION_DENIED", "SERVICE_DISABLED", "x", Cause::Permission),
        (401, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED", "x", Cause::Auth),
        (404, "NOT_FOUND", "SOMETHING", "models/m is not found", Cause::NotFound),
        (429, "RESOURCE_EXHAUSTED", "RequestsPerMinute", "x", Cause::RateLimited),
        (429, "RESOURCE_EXHAUSTED", "RequestsPerDay", "x", Cause::Quota),
        (503, "UNAVAILABLE", "SOMETHING", "x", Cause::Overloaded),
        (504, "DEADLINE_EXCEEDED", "SOMETHING", "x", Cause::Timeout),
        (500, "INTERNAL", "SOMETHING", "x", Cause::ServerError),
    ] {
        let error = google(Some(code), kind, message);
        assert_eq!(classify(&Observation::Status(status, &error)).cause, expected, "{kind} {code}");
        assert_eq!(
            classify(&Observation::InBand(&error)).cause,
            expected,
            "in band: {kind} {code}"
        );
    }
}

#[test]
fn googles_words_have_their_causes() {
    for (status, kind, code, message, expected) in [
        (
            400,
            "INVALID_ARGUMENT",
            "400",
            "Unable to submit request because the input token count is 40000 but model only supports up to 32768.",
            Cause::ContextWindow,
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "XPerMinute",
            "Quota exceeded, limit: 0\nPlease retry in 3s",
            Cause::Quota,
        ),
        (429, "RESOURCE_EXHAUSTED", "XPerMinute", "Quota exceeded, limit: 0", Cause::Quota),
        (429, "RESOURCE_EXHAUSTED", "XPerMinute", "Quota exceeded, limit: 05", Cause::RateLimited),
        (
            400,
            "INVALID_ARGUMENT",
            "400",
            "The prompt was blocked due to safety.",
            Cause::ContentPolicy,
        ),
        (400, "INVALID_ARGUMENT", "400", "Invalid value at safety_settings", Cause::BadRequest),
        (
            403,
            "PERMISSION_DENIED",
            "403",
            "Your project has been denied access. Please contact support.",
            Cause::Auth,
        ),
        (503, "UNAVAILABLE", "503", "The service is currently unavailable.", Cause::Overloaded),
        (502, "INTERNAL", "429", "x", Cause::RateLimited),
    ] {
        let error = google(Some(code), kind, message);
        assert_eq!(classify(&Observation::Status(status, &error)).cause, expected, "{message}");
    }
}

#[test]
fn a_quota_of_a_day_lasts_until_midnight_at_google() {
    // 2026-07-01T12:00:00Z is five in the morning there, in summer.
    let noon = 1_782_907_200_000;
    let quota = google(Some("GenerateRequestsPerDayPerProject"), "RESOURCE_EXHAUSTED", "x");
    assert_eq!(quota.wait_ms(Cause::Quota, noon), Some(19 * 3_600_000));
    let told = ProviderError { wait_ms: Some(7), ..quota.clone() };
    assert_eq!(told.wait_ms(Cause::Quota, noon), Some(7));
    assert_eq!(told.wait_ms(Cause::BadRequest, noon), None);
    let minute = google(Some("RequestsPerMinute"), "RESOURCE_EXHAUSTED", "x");
    assert_eq!(minute.wait_ms(Cause::RateLimited, noon), None);
}

#[test]
fn what_a_client_named_is_its_own_fault_whatever_the_text_says_of_models() {
    let named = |param: Option<&str>, message: &str| ProviderError {
        param: param.map(str::to_owned),
        ..error(None, message)
    };
    let cause = |body: &ProviderError| classify(&Observation::Status(404, body)).cause;
    for body in [
        named(Some("file_id"), "The file file-abc123 was not found for this model deployment"),
        named(Some("previous_response_id"), "Not found for model gpt-x"),
        named(None, "No cached model response with id resp_abc"),
        named(None, "This model deployment has no file-abc123"),
    ] {
        assert_eq!(cause(&body), Cause::BadRequest, "{body:?}");
    }
    for body in [
        named(Some("model"), "not found"),
        named(None, "The model `llama_r1distill7b` does not exist"),
        error(Some("model_not_found"), "no file-abc123"),
    ] {
        assert_eq!(cause(&body), Cause::NotFound, "{body:?}");
    }
}

/// Texts: Fireworks, Groq, Cloudflare, Zhipu, xAI, Together, NVIDIA, Azure, text-generation-inference, OpenAI.
#[test]
fn refusals_of_every_status_say_whose_they_are() {
    let rows = [
        (410, error(None, "The model has reached its end of life"), Cause::NotFound, About::Whole),
        (
            412,
            error(None, "Account x is suspended, possibly due to billing"),
            Cause::Quota,
            About::Whole,
        ),
        (498, error(None, "Flex tier capacity exceeded"), Cause::Overloaded, About::Whole),
        (
            413,
            error(None, "Request too large for model `x` on tokens per minute (TPM)"),
            Cause::ContextWindow,
            About::Whole,
        ),
        (423, error(None, "The endpoint is paused"), Cause::ServerError, About::Whole),
        (425, error(None, ""), Cause::ServerError, About::Whole),
        (407, error(None, ""), Cause::BadResponse, About::Whole),
        (421, error(None, ""), Cause::BadResponse, About::Whole),
        (418, error(None, "no"), Cause::BadRequest, About::Unclear),
        (409, error(None, "conflict"), Cause::BadRequest, About::Unclear),
        (411, error(None, ""), Cause::BadRequest, About::Unclear),
        (451, error(None, ""), Cause::BadRequest, About::Unclear),
        (409, error(Some("1113"), ""), Cause::Quota, About::Whole),
        (429, error(Some("1113"), "in arrears"), Cause::Quota, About::Whole),
        (
            429,
            error(Some("3036"), "you have used up your daily free allocation of neurons"),
            Cause::Quota,
            About::Whole,
        ),
        (403, error(None, "Your team doesn't have any credits yet"), Cause::Quota, About::Whole),
        (
            400,
            error(Some("model_not_available"), "Unable to access non-serverless model"),
            Cause::NotFound,
            About::Whole,
        ),
        (400, error(Some("7000"), "No route for that URI"), Cause::NotFound, About::Address),
        (400, error(None, "API version not supported"), Cause::NotFound, About::Address),
        (400, error(None, "DEGRADED function cannot be invoked"), Cause::ServerError, About::Whole),
        (
            422,
            error(None, "`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000"),
            Cause::ContextWindow,
            About::Whole,
        ),
        (
            400,
            error(None, "inputs tokens + max_new_tokens must be <= 8193"),
            Cause::ContextWindow,
            About::Whole,
        ),
        (
            400,
            error(
                Some("invalid_prompt"),
                "Your prompt was flagged as potentially violating our usage policy",
            ),
            Cause::ContentPolicy,
            About::Whole,
        ),
    ];
    for (status, body, cause, about) in rows {
        let expected = Classified { cause, about };
        assert_eq!(classify(&Observation::Status(status, &body)), expected, "{status} {body:?}");
    }
}

#[test]
fn a_text_says_how_long_to_wait_where_load_is_the_cause() {
    let body = error(None, "Rate limit reached. Please try again in 7.66s.");
    assert_eq!(body.wait_ms(Cause::RateLimited, 0), Some(7_660));
    assert_eq!(body.wait_ms(Cause::ServerError, 0), None);
    assert_eq!(body.wait_ms(Cause::BadRequest, 0), None);
    let of_header = ProviderError { wait_ms: Some(1_000), ..body };
    assert_eq!(of_header.wait_ms(Cause::RateLimited, 0), Some(1_000));
}
