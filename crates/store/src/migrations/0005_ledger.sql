-- The ledger: every call of an upstream, as it is billed; sums by day; what changed counters besides.
create table {hale}attempts (
    id text not null,
    at bigint not null,
    replica text not null,
    request text not null,
    number bigint not null,
    key_hash text not null,
    user_id text,
    team_id text,
    organization_id text,
    end_user text,
    session_id text,
    tags text not null,
    operation text not null,
    model_group text,
    deployment text,
    provider text,
    model text,
    address text,
    status bigint,
    cause text,
    began_at bigint not null,
    ended_at bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    counts text not null,
    counted_by text not null,
    cost_nano bigint,
    primary key (id)
);
create table {hale}attempt_sums (
    day text not null,
    key_hash text not null,
    user_id text not null,
    team_id text not null,
    organization_id text not null,
    end_user text not null,
    tags text not null,
    operation text not null,
    model_group text not null,
    deployment text not null,
    provider text not null,
    model text not null,
    calls bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cost_nano bigint not null,
    primary key (day, key_hash, user_id, team_id, organization_id, end_user, tags, operation, model_group, deployment, provider, model)
);
create table {hale}spend_days (
    kind text not null,
    id text not null,
    day text not null,
    requests bigint not null,
    failed bigint not null,
    calls bigint not null,
    input_tokens bigint not null,
    output_tokens bigint not null,
    cost_nano bigint not null,
    primary key (kind, id, day)
);
create table {hale}spend_marks (
    kind text not null,
    id text not null,
    opening double precision not null,
    adjusted double precision not null,
    primary key (kind, id)
);
create index attempts_at on {hale}attempts (at);
create index attempts_request on {hale}attempts (request);
create index attempts_session on {hale}attempts (session_id);
create index spend_days_day on {hale}spend_days (day);
