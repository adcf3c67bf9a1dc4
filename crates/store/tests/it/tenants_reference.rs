//! LiteLLM's own database: read and written row by row, never altered.

use hale_store::{Address, Change, Changed, Find, Purpose, TenantTable};
use hale_testkit::Postgres;
use serde_json::json;

use crate::support::{NOW, open, run};
use crate::tenants::{key, of, one, record};

const AT: i64 = NOW as i64;
/// Everything about the schema `public`, as text.
const SCHEMA: &str = "select md5(string_agg(it, '|' order by it)) from (select concat_ws(' ', table_name, column_name, \
    data_type, is_nullable, column_default) it from information_schema.columns where table_schema = 'public' union all \
    select indexdef from pg_indexes where schemaname = 'public') as all_of_it";

#[test]
fn the_references_database_is_used_as_its_migrations_leave_it_and_never_altered() {
    run(async {
        let server = Postgres::shared();
        // All of them, and as they were at two moments before.
        for (until, least) in [("9", 213), ("20260401", 100), ("20260107", 60)] {
            let url = server.database();
            let applied = server.apply_reference_migrations(&url, until);
            assert!(applied >= least, "{applied} before {until}");
            server.sql(
                &url,
                "insert into \"LiteLLM_VerificationToken\" (token, key_name, spend, models, metadata, expires) values \
                 ('theirs', 'sk-...abcd', 1.5, null, '\"{\\\"tags\\\": [\\\"t\\\"]}\"', '2026-11-28 19:20:30')",
            );
            let before = server.sql(&url, SCHEMA);
            let address = Address::parse(&url).unwrap();
            let database = open(&address, Purpose::Serve).await.unwrap();
            let theirs = one(&database, TenantTable::Keys, "token", "theirs").await;
            assert_eq!((&theirs["models"], &theirs["blocked"]), (&json!(null), &json!(null)));
            // 2026-11-28T19:20:30Z, whatever zone the server has.
            assert_eq!(theirs["expires"], json!(1_795_893_630_000_i64), "{until}");
            let own = key(
                "ours",
                json!({
                    "key_name": "sk-...wxyz", "models": ["a", "b"], "metadata": {"x": 1}, "max_parallel_requests": 3,
                    "rpm_limit": 9_000_000_000_i64, "created_at": AT, "expires": AT, "blocked": false,
                }),
            );
            let team = record(
                json!({"team_id": "t", "members_with_roles": [{"role": "user", "user_id": "u"}], "models": []}),
            );
            let spend = Change::Update {
                table: TenantTable::Keys,
                key: of("token", "ours"),
                row: record(json!({"spend": 0.5})),
            };
            let changes = [own, Change::Insert { table: TenantTable::Teams, row: team }, spend];
            assert_eq!(database.change(&changes, None, AT).await, Ok(Changed::Done(vec![1, 1, 1])));
            let ours = one(&database, TenantTable::Keys, "token", "ours").await;
            assert_eq!(
                (&ours["models"], &ours["max_parallel_requests"]),
                (&json!(["a", "b"]), &json!(3))
            );
            assert_eq!((ours["spend"].as_f64(), &ours["created_at"]), (Some(0.5), &json!(AT)));
            let there = server.sql(
                &url,
                "select spend, expires from \"LiteLLM_VerificationToken\" where token = 'ours'",
            );
            assert!(there.starts_with("0.5|2027-01-1"), "{there}");
            for table in TenantTable::ALL {
                assert!(database.find(&Find::all(table)).await.is_ok(), "{} {until}", table.name());
            }
            assert_eq!(server.sql(&url, SCHEMA), before, "{until}");
        }
    });
}
