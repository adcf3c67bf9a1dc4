//! The statements of the shared table.
//!
//! Sent by [`super::SharedTable`]. Always true: values are bound; `$1` is the scope; the server's clock is read once a
//! statement; no statement writes a row twice, and rows are taken in the order of their names, so that replicas
//! do not wait for each other in a circle.

/// Says `$3` as `$2` for `$4` milliseconds. Rows: time, rows that cannot be a message's, what another replica says.
pub(super) const EXCHANGE: &str = "
with clock as materialized (select (extract(epoch from clock_timestamp()) * 1000)::bigint as now),
put as (
    insert into hale.fleet as kept (scope, kind, name, value, until_at)
    select $1, 'replica', $2, $3, now + $4 from clock where $3 <> ''
    on conflict (scope, kind, name) do update set value = excluded.value, until_at = excluded.until_at
),
garbage as (
    delete from hale.fleet as kept using clock where scope = $1 and kind = 'replica' and name <> $2
    and until_at > now + 2 * $4 returning name
)
select now, (select count(*) from garbage), kept.value from clock left join hale.fleet as kept
on kept.scope = $1 and kept.kind = 'replica' and kept.name <> $2 and $3 <> ''
and kept.until_at > now and kept.until_at <= now + 2 * $4
order by kept.until_at desc limit 128";

/// Tells `$2` on the channel `$1`.
pub(super) const TELL: &str = "select pg_notify($1, $2)";

/// Asks for the leases with the names `$4`, with a word of `$5` about each, as `$2`, for `$3` milliseconds. Rows, in that
/// order: holder, milliseconds left, leases that were cut. Whether a lease is longer than a period is judged by the time at
/// which its row is free: while this statement waited for it, another one may have taken it, at a later time than this one's.
pub(super) const LEASE: &str = "
with clock as materialized (select (extract(epoch from clock_timestamp()) * 1000)::bigint as now),
asked as materialized (
    select name, word, nth from unnest($4::text[], $5::text[]) with ordinality as asked (name, word, nth)
),
cut as (
    update hale.fleet as kept set until_at = now + $3 from asked, clock
    where kept.scope = $1 and kept.kind = 'lease' and kept.name = asked.name and asked.word <> 'hold'
    and kept.value <> $2 and kept.until_at > now + $3 returning kept.name
),
given as (
    delete from hale.fleet as kept using asked where kept.scope = $1 and kept.kind = 'lease'
    and kept.name = asked.name and asked.word = 'give up' and kept.value = $2 returning kept.name
),
taken as (
    insert into hale.fleet as kept (scope, kind, name, value, until_at)
    select $1, 'lease', name, $2, now + $3 from asked, clock where word = 'hold' order by name
    on conflict (scope, kind, name) do update set value = excluded.value, until_at = excluded.until_at
    where kept.value = excluded.value or kept.until_at <= (select now from clock)
    or kept.until_at > (extract(epoch from clock_timestamp()) * 1000)::bigint + $3 returning kept.name
)
select case when taken.name is not null then $2 when given.name is null then kept.value end,
case when taken.name is not null then $3 else least(kept.until_at - now, $3) end,
(select count(*) from cut)
from asked cross join clock left join taken on taken.name = asked.name left join given on given.name = asked.name
left join hale.fleet as kept on kept.scope = $1 and kept.kind = 'lease' and kept.name = asked.name
and kept.until_at > now order by nth";

/// Keeps `$3` under `$2` for `$4` milliseconds.
pub(super) const KEEP: &str = "
insert into hale.fleet as kept (scope, kind, name, value, until_at)
values ($1, 'kept', $2, $3, (extract(epoch from clock_timestamp()) * 1000)::bigint + $4)
on conflict (scope, kind, name) do update set value = excluded.value, until_at = excluded.until_at";

/// What is kept.
pub(super) const KEPT: &str = "
select value from hale.fleet where scope = $1 and kind = 'kept'
and until_at > (extract(epoch from clock_timestamp()) * 1000)::bigint";

/// Deletes what ended a minute ago, of whichever scope.
pub(super) const SWEEP: &str = "
delete from hale.fleet where until_at < (extract(epoch from clock_timestamp()) * 1000)::bigint - 60000";
