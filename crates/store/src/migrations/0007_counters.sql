-- What was spent in a period, of models and of several periods: a row for each period, so that none is reset.
create table {hale}budget_counters (
    kind text not null,
    id text not null,
    model text not null,
    period text not null,
    ends bigint not null,
    cost_nano bigint not null,
    primary key (kind, id, model, period, ends)
);
create index budget_counters_ends on {hale}budget_counters (ends);
