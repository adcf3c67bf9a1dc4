//! A budget whose period ends, over restarts: what is read again from the database is what the process before had.

use std::path::Path;
use std::time::Duration;

use hale_core::tenancy::access::{Admission, KeyAccess, More, Spent};
use hale_core::tenancy::account::{Claim, Used};
use hale_core::tenancy::{Charged, Denied, Money, of_models};
use hale_core::time::WallClock;
use hale_store::{
    Address, Means, Options, Retention, Sample, SpendRows, SpentCall, SpentPeriod, SpentRequest,
    SpentTexts, Threads, Watch,
};
use hale_testkit::{Postgres, TempDir};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::super::Learned;
use super::*;

/// A midnight, milliseconds since 1970.
const MIDNIGHT: u64 = 1_799_971_200_000;
const DAY: u64 = 86_400_000;
const KEY: &str = "sk-0123456789abcdefghij";

/// So long after the midnight; before it, if that is below 0.
fn at(ms: i64) -> WallClock {
    let unix_ms = UnixMs(MIDNIGHT.saturating_add_signed(ms));
    WallClock { now: Millis(u64::try_from(ms + 10_000_000).unwrap()), unix_ms }
}

/// One process: a store, and the key as it read it.
struct Process {
    keys: Keys,
    store: Arc<Store>,
    tasks: Vec<JoinHandle<()>>,
    access: Arc<KeyAccess>,
}

impl Process {
    /// Starts at that moment. `writer` is another one for each.
    async fn start(
        address: &Address,
        directory: &Path,
        (writer, now): (u32, WallClock),
    ) -> Process {
        let store = Store::new(Options {
            address: address.clone(),
            spool: directory.join("hale.spool"),
            means: Means {
                threads: Threads::of(tokio::runtime::Handle::current()),
                roots: || Arc::new(rustls::RootCertStore::empty()),
                now: || MIDNIGHT,
            },
            replica: "pod".into(),
            writer: format!("pod-{writer}").into(),
            retention: Retention::default(),
            sample: Sample { failures: true, share: 1.0, per_second: 1_000 },
            spend: SpendRows { per_second: 1_000 },
            watch: Watch::default(),
        });
        let tasks =
            vec![tokio::spawn(store.clone().collect()), tokio::spawn(store.clone().drain())];
        while store.status() != hale_store::Status::Connected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let keys = Keys::default();
        keys.remember(store.clone());
        if writer == 0 {
            store.change(&made(), None).await.unwrap();
        }
        let mut rows = read::rows(&store, &[KeyHash::of(KEY)]).await.unwrap().pop().unwrap();
        rows.read_at = now.unix_ms;
        let Learned::Kept(access) = keys.learn(rows, (keys.seen(), keys.reads())) else {
            panic!("it is kept")
        };
        Process { access, keys, store, tasks }
    }

    fn admit(&self, at: WallClock) -> Result<Admission, Denied> {
        self.access.admit(of_models::names("m", "m"), (Claim::default(), &More::default()), at)
    }

    /// A request that costs so much.
    async fn spend(&self, usd: f64, at: WallClock) {
        let admission = self.admit(at).unwrap();
        let cost = Money::of_usd(usd).unwrap();
        let all = Used { tokens: 0, cost };
        let spent = Spent { all, in_group: &|_| all };
        let charged = admission.charged(&spent);
        self.keys.settle(admission, &spent);
        let period = |one: &Charged| {
            let counter = one.level.counter.clone()?;
            Some((counter, one.ends?.0, one.cost.parts()))
        };
        let periods: Vec<_> = charged.iter().filter_map(period).collect();
        let counters: Vec<SpentPeriod<'_>> = periods
            .iter()
            .map(|(counter, ends, cost_nano)| SpentPeriod {
                kind: counter.kind,
                id: &counter.id,
                model: &counter.model,
                period: &counter.period,
                ends: *ends,
                cost_nano: *cost_nano,
            })
            .collect();
        let calls = [SpentCall { cost_nano: Some(cost.parts()), ..SpentCall::default() }];
        let id = format!("{}-{usd}", at.unix_ms.0);
        let request = SpentRequest {
            at: at.unix_ms.0,
            ended_at: at.unix_ms.0,
            call_id: &id,
            operation: "chat_completions",
            key: &self.access.identity.key,
            counters: &counters,
            calls: &calls,
            ..SpentRequest::default()
        };
        let texts = || SpentTexts { metadata: "{}".to_owned(), ..SpentTexts::default() };
        let batch = self.store.put_spent(&request, texts).unwrap();
        self.keys.handed(&self.access.identity, (None, &[], &charged), (cost, batch));
        assert!(self.store.settled(hale_testkit::TIMEOUT).await);
        self.keys.follow();
        self.keys.write().await;
    }

    fn is_spent(&self, at: WallClock) -> bool {
        self.admit(at).is_err_and(|denied| denied.reason == "budget_exceeded")
    }

    async fn stop(self) {
        for task in self.tasks {
            task.abort();
            let _ended: Result<(), _> = task.await;
        }
    }
}

/// A key that may spend 1 USD a day, by that budget which its row has.
fn made() -> Vec<Change> {
    let day = |budget: Value| json!({"m": budget});
    let row = json!({
        "token": KeyHash::of(KEY).to_string(), "spend": 0.0, "total_spend": 0.0, "max_budget": 1.0, "budget_duration": "1d",
        "budget_reset_at": MIDNIGHT, "budget_limits": [{"max_budget": 1.0, "budget_duration": "1d"}],
        "model_max_budget": day(json!({"budget_limit": 1.0, "time_period": "1d"})),
    });
    let Value::Object(row) = row else { panic!("an object") };
    vec![Change::Insert { table: TenantTable::Keys, row }]
}

/// What has been spent in the period of that moment: of the row, of the period, of the model.
fn spent(process: &Process, at: WallClock) -> Vec<f64> {
    let access = &process.access;
    let levels = access.levels.iter().chain(access.of_models.all());
    let levels = levels.filter(|level| level.terms.budget.is_some());
    levels.map(|level| level.account.balance(level.terms.budget.as_ref(), at).spent.usd()).collect()
}

async fn crosses_a_border(address: Address, directory: Arc<TempDir>) {
    let mut writer = 0;
    let mut start = async |now: WallClock| {
        writer += 1;
        Process::start(&address, directory.path(), (writer - 1, now)).await
    };
    let process = start(at(-5_000)).await;
    process.spend(0.5, at(-5_000)).await;
    process.stop().await;
    let process = start(at(-4_000)).await;
    assert_eq!(spent(&process, at(-4_000)), [0.5; 3], "a restart within the period");
    process.spend(0.5, at(-3_000)).await;
    assert!(process.is_spent(at(-1)));
    // The border, in one process.
    assert!(!process.is_spent(at(0)));
    process.spend(0.25, at(1_000)).await;
    assert_eq!(spent(&process, at(2_000)), [0.25; 3]);
    process.stop().await;
    let process = start(at(3_000)).await;
    assert_eq!(spent(&process, at(3_000)), [0.25; 3], "a restart behind the border");
    process.spend(0.75, at(4_000)).await;
    assert!(process.is_spent(at(5_000)));
    process.stop().await;
    let process = start(at(6_000)).await;
    assert!(process.is_spent(at(6_000)), "a spent budget stays spent over a restart");
    process.stop().await;
    // No process ran when the next border was reached.
    let next = at(i64::try_from(DAY).unwrap() + 1_000);
    let process = start(next).await;
    assert_eq!(spent(&process, next), [0.0; 3]);
    process.spend(0.125, next).await;
    process.stop().await;
    let process = start(next).await;
    assert_eq!(spent(&process, next), [0.125; 3]);
    let row = Find::with(TenantTable::Keys, "token", vec![KeyHash::of(KEY).to_string().into()]);
    let row = process.store.find(&row).await.unwrap().pop().unwrap();
    let row = Row(&row);
    assert_eq!(row.time("budget_reset_at"), Some(UnixMs(MIDNIGHT + 2 * DAY)));
    assert_eq!(row.money("total_spend"), Money::of_usd(2.125));
    process.stop().await;
}

#[test]
fn a_budget_that_ends_at_midnight_begins_anew_once_whatever_restarts_beside_it() {
    let directory = Arc::new(TempDir::new());
    let file = Address::File(directory.path().join("hale.db"));
    let server = Address::parse(&Postgres::shared().database()).unwrap();
    for (address, directory) in [(file, directory), (server, Arc::new(TempDir::new()))] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(crosses_a_border(address, directory));
        runtime.shutdown_background();
    }
}
