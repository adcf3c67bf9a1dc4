-- Responses that the gateway keeps because their providers do not. Times are milliseconds since 1970, UTC.
create table {hale}responses (
    id text not null,
    at bigint not null,
    expires_at bigint not null,
    previous text,
    input text not null,
    response text not null,
    updated_at bigint not null,
    primary key (id)
);
create index responses_expires_at on {hale}responses (expires_at);
create index responses_previous on {hale}responses (previous);
