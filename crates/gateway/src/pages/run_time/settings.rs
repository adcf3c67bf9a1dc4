//! `/config/update`: settings that are changed at run time, in the reference's shape.
//!
//! Called by the router. Always true: only admins get here; a setting that the config says, that is not served, or that is read at the
//! start is refused by its name, and then nothing is changed; what the loader would not take is never written.

use hale_core::config::{SECTIONS, Stored, why_not_stored};
use hale_core::tenancy::{Record, Row};
use hale_store::{Change, Find, TenantTable};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{check_on, check_size, in_force, object, problems_of, salt_of};
use crate::http::refusal::Refusal;
use crate::pages::admin::{Audited, bad, body, failed, make, page, store, turn};
use crate::pages::{PageRequest, Waiting};
use crate::stored::members;

/// The section whose members are environment variables.
const VARIABLES: &str = "environment_variables";

/// `POST /config/update`.
pub(crate) fn update(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let store = store(&request)?;
        check_on(&request)?;
        let salt = salt_of(&request)?;
        if let Some(name) = body.keys().find(|name| !SECTIONS.contains(&name.as_str())) {
            let message = format!(
                "`{name}` cannot be changed at run time; write one of {}",
                SECTIONS.join(", ")
            );
            return Err(bad(message).param(name));
        }
        attempt(&request, &body).await?;
        let rows = store.find(&Find::all(TenantTable::Settings)).await;
        let rows = rows.map_err(|error| failed(&error))?;
        let mut changes = Vec::new();
        let mut named = Record::new();
        for section in SECTIONS {
            let Some(given) = object(&body, section)?.filter(|given| !given.is_empty()) else {
                continue;
            };
            let before = rows.iter().find(|row| Row(row).text("param_name") == Some(section));
            let mut all = before.map(|row| members(row.get("param_value"))).unwrap_or_default();
            for (name, value) in given {
                let value = match value {
                    Value::String(text) if section == VARIABLES => Value::String(salt.seal(text)),
                    other => other.clone(),
                };
                merge(&mut all, name, value);
            }
            check_size(&all)?;
            let names: Vec<&String> = given.keys().collect();
            named.insert(section.to_owned(), json!(names));
            let mut row = Record::from_iter([("param_value".to_owned(), Value::Object(all))]);
            changes.push(match before {
                Some(before) => {
                    // Only databases of newer releases count.
                    if let Some(revision) = before.get("reload_revision").and_then(Value::as_i64) {
                        row.insert("reload_revision".to_owned(), json!(revision + 1));
                    }
                    let key = vec![("param_name", section.into())];
                    Change::Update { table: TenantTable::Settings, key, row }
                }
                None => {
                    row.insert("param_name".to_owned(), json!(section));
                    Change::Insert { table: TenantTable::Settings, row }
                }
            });
        }
        let audited = Audited {
            table: TenantTable::Settings,
            action: "updated",
            object: "config",
            before: None,
            after: Some(&named),
        };
        make(&request, changes, &[audited]).await?;
        let mut said = json!({"message": "Config updated successfully"});
        if let Some(why) = in_force(&request, store).await {
            said["warning"] = format!("written, and not in force yet: {why}").into();
        }
        Ok(page(&said))
    })
}

/// Sets a member; an object is put over the one that is there, member by member.
fn merge(all: &mut Record, name: &str, value: Value) {
    match (all.get_mut(name), value) {
        (Some(Value::Object(before)), Value::Object(given)) => {
            for (name, value) in given {
                merge(before, &name, value);
            }
        }
        (_, value) => drop(all.insert(name.to_owned(), value)),
    }
}

/// Loads the config as it would be.
///
/// # Errors
/// The first setting that would have no effect, and why.
async fn attempt(request: &PageRequest<'_>, body: &Record) -> Result<(), Refusal> {
    let run_time = &request.arrival.worker.process.run_time;
    let mut stored = Stored::clone(&run_time.stored());
    let mut files = Vec::new();
    for section in SECTIONS {
        let Some(given) = object(body, section)? else { continue };
        if stored.sections.iter().all(|(name, _)| **name != *section) {
            stored.sections.push((section.into(), Record::new()));
        }
        let known = stored.sections.iter_mut().find(|(name, _)| **name == *section);
        let Some((_, known)) = known else { continue };
        for (name, value) in given {
            if let Some(why) = why_not_stored(section, name) {
                return Err(refused(section, name, why));
            }
            merge(known, name, value.clone());
            files.push((section, name, Stored::file_of_setting(section, name)));
        }
    }
    let problems = run_time.attempt(stored).await;
    for (section, name, file) in files {
        if let Some(why) = problems_of(&problems, &file).next() {
            return Err(refused(section, name, &why));
        }
    }
    Ok(())
}

fn refused(section: &str, name: &str, why: &str) -> Refusal {
    bad(format!("`{section}.{name}` cannot be changed at run time: {why}")).param(name)
}
