-- What replicas tell each other: one table, on a server only. Nothing in it outlives a minute or a probe's result, so a crash may
-- empty it, and no disk waits for it.
create unlogged table {hale}fleet (
    scope text not null,
    kind text not null,
    name text not null,
    value text not null,
    until_at bigint not null,
    primary key (scope, kind, name)
) with (fillfactor = 50);
