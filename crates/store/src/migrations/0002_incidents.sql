-- Incidents: what was wrong, and what is told of it. Times are milliseconds since 1970, UTC.
create table {hale}incidents (
    id text not null,
    kind text not null,
    stage text not null,
    title text not null,
    opened_at bigint not null,
    ended_at bigint,
    replica text not null,
    requests bigint not null,
    state text not null,
    updated_at bigint not null,
    primary key (id)
);
create index incidents_opened_at on {hale}incidents (opened_at);
