//! Subcommands `keys`, which change the file of API keys.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

use super::keys_file::{
    KeyEntry, KeyRequest, KeysFile, TenantEntry, add, parse_scopes, revoke, rotate, set_quotas,
};
use super::local_keys::LocalKeys;
use super::scope::Role;
use super::{Reach, Scopes};
use crate::tenant::Tenant;
use crate::text::Owner;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Options of `keys`.
#[derive(Debug, Clone, Args)]
pub struct KeysOptions {
    /// File of the keys.
    #[arg(long, env, global = true, default_value = ".passbook/keys.toml")]
    pub keys_file: PathBuf,
    /// Change of the file.
    #[command(subcommand)]
    pub action: KeysAction,
}

/// Changes of the file. The services apply them within a second.
#[derive(Debug, Clone, Subcommand)]
pub enum KeysAction {
    /// Adds a key for a principal and prints it, once
    Add(AddOptions),
    /// Lists the keys without their secrets
    List,
    /// Adds a key with the rights of a principal's newest key and prints it; the other keys of the
    /// principal expire
    Rotate {
        /// Name of the principal.
        principal: String,
        /// Hours for which the other keys remain valid.
        #[arg(long, default_value_t = 24)]
        overlap_hours: u32,
        /// Days after which the new key expires; needed if the newest key expires.
        #[arg(long)]
        expires_days: Option<u32>,
    },
    /// Removes a key, or all keys of a principal
    Revoke {
        /// Id of the key, or name of the principal.
        id_or_principal: String,
    },
    /// Sets the quotas of a tenant, in place of those that it has
    Quota(QuotaOptions),
    /// Creates the keys of an operator and of a projection-service in a directory, if missing
    Init {
        /// Directory for the files.
        directory: PathBuf,
        /// File with the operator's key; by default `auth` in the directory.
        #[arg(long)]
        operator_key: Option<PathBuf>,
        /// File with the key of the projection-service; by default `projection.key` in the
        /// directory.
        #[arg(long)]
        projection_key: Option<PathBuf>,
    },
}

/// Options of `keys add`.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct AddOptions {
    /// Name of the principal, which events record as their actor.
    pub principal: String,
    /// Usual set of scopes.
    #[arg(long, value_enum, required_unless_present = "scopes")]
    pub role: Option<Role>,
    /// Scopes besides those of the role, separated by commas, such as money:move.
    #[arg(long, value_delimiter = ',')]
    pub scopes: Vec<String>,
    /// Tenant to whose accounts the key is restricted; by default none.
    #[arg(long)]
    pub tenant: Option<Tenant>,
    /// Owner to whose accounts the key is restricted; by default none.
    #[arg(long, value_parser = owner)]
    pub owner: Option<Owner>,
    /// Maximum number of requests per second; by default no limit. Each command of a bulk request
    /// counts.
    #[arg(long)]
    pub rate: Option<NonZeroU32>,
    /// Days after which the key expires; by default never.
    #[arg(long)]
    pub expires_days: Option<u32>,
    /// Remark for people.
    #[arg(long)]
    pub note: Option<String>,
}

/// Options of `keys quota`.
#[derive(Debug, Clone, Args)]
#[group(skip)]
pub struct QuotaOptions {
    /// Name of the tenant.
    pub tenant: Tenant,
    /// Maximum number of requests per second of all its keys; by default no limit.
    #[arg(long)]
    pub rate: Option<NonZeroU32>,
    /// Maximum number of its open accounts; by default no limit.
    #[arg(long)]
    pub max_accounts: Option<u32>,
    /// Maximum number of open holds on its accounts; by default no limit.
    #[arg(long)]
    pub max_open_holds: Option<u32>,
}

/// Runs a subcommand.
///
/// # Errors
/// The file cannot be read or written, or the request is invalid.
#[expect(clippy::print_stdout, reason = "prints its result")]
pub fn run(options: &KeysOptions) -> anyhow::Result<()> {
    let path = &options.keys_file;
    match &options.action {
        KeysAction::Add(options) => println!("{}", add(path, &options.request()?)?.text),
        KeysAction::List => list(path)?,
        KeysAction::Rotate { principal, overlap_hours, expires_days } => {
            let lifetime = expires_days.map(|days| DAY * days);
            println!("{}", rotate(path, principal, HOUR * *overlap_hours, lifetime)?.text);
        }
        KeysAction::Revoke { id_or_principal } => {
            let removed = revoke(path, id_or_principal)?;
            println!("{removed} removed; the services refuse them within a second");
        }
        KeysAction::Quota(QuotaOptions { tenant, rate, max_accounts, max_open_holds }) => {
            let (rate, max_accounts) = (*rate, *max_accounts);
            let max_open_holds = *max_open_holds;
            let name = tenant.clone();
            set_quotas(path, &TenantEntry { name, rate, max_accounts, max_open_holds })?;
        }
        KeysAction::Init { directory, operator_key, projection_key } => {
            let mut keys = LocalKeys::in_directory(directory);
            keys.operator = operator_key.clone().unwrap_or(keys.operator);
            keys.projection = projection_key.clone().unwrap_or(keys.projection);
            let LocalKeys { keys_file, operator, projection } = keys.created(directory)?;
            for path in [keys_file, operator, projection] {
                println!("{}", path.display());
            }
        }
    }
    Ok(())
}

impl AddOptions {
    fn request(&self) -> anyhow::Result<KeyRequest> {
        let role = self.role.map(Role::scopes).unwrap_or_default();
        let scopes: Scopes = role.iter().chain(parse_scopes(&self.scopes)?.iter()).collect();
        Ok(KeyRequest {
            principal: self.principal.clone(),
            scopes,
            reach: Reach { tenant: self.tenant.clone(), owner: self.owner.clone() },
            rate: self.rate,
            lifetime: self.expires_days.map(|days| DAY * days),
            note: self.note.clone(),
        })
    }
}

#[expect(clippy::print_stdout, reason = "prints its result")]
fn list(path: &Path) -> anyhow::Result<()> {
    println!("{:10}  {:20}  {:27}  {:24}  SCOPES", "ID", "PRINCIPAL", "EXPIRES", "LIMITS");
    for key in KeysFile::read(path)?.keys {
        let limits = limits(&key);
        let KeyEntry { id, principal, expires, scopes, note, .. } = key;
        let expires = expires.map_or_else(|| "never".to_owned(), |at| at.to_string());
        let note = note.map(|note| format!("  # {note}")).unwrap_or_default();
        println!("{id:10}  {principal:20}  {expires:27}  {limits:24}  {}{note}", scopes.join(","));
    }
    Ok(())
}

/// Returns the restrictions of a key, as in `tenant=acme rate=50`.
fn limits(key: &KeyEntry) -> String {
    let tenant = key.tenant.as_ref().map(|tenant| format!("tenant={tenant}"));
    let owner = key.owner.as_ref().map(|owner| format!("owner={}", &**owner));
    let rate = key.rate.map(|rate| format!("rate={rate}"));
    let limits: Vec<String> = [tenant, owner, rate].into_iter().flatten().collect();
    if limits.is_empty() { "-".to_owned() } else { limits.join(" ") }
}

fn owner(text: &str) -> Result<Owner, String> {
    Owner::new(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        keys: KeysOptions,
    }

    fn run(path: &Path, arguments: &[&str]) -> anyhow::Result<()> {
        let file = format!("--keys-file={}", path.display());
        let arguments = ["keys"].iter().chain(arguments).copied().chain([&*file]);
        super::run(&Command::try_parse_from(arguments)?.keys)
    }

    #[test]
    fn subcommands_change_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.toml");
        let keys = || KeysFile::read(&path).unwrap().keys;
        run(&path, &["add", "ada", "--role=teller", "--scopes=log:read", "--note=till 3"]).unwrap();
        run(&path, &["add", "bob", "--scopes=money:move,money:hold", "--expires-days=90"]).unwrap();
        let (ada, bob) = (keys()[0].clone(), keys()[1].clone());
        assert_eq!(ada.scopes.len(), 5);
        assert_eq!((ada.expires, ada.note.as_deref()), (None, Some("till 3")));
        assert_eq!(bob.scopes, ["money:move", "money:hold"]);
        assert!(bob.expires.is_some());
        run(&path, &["rotate", "ada", "--overlap-hours=1"]).unwrap();
        assert_eq!((keys().len(), keys()[2].scopes.clone()), (3, ada.scopes));
        assert!(keys()[0].expires.is_some() && keys()[2].expires.is_none());
        run(&path, &["quota", "acme", "--rate=5"]).unwrap();
        run(&path, &["quota", "acme", "--max-accounts=7"]).unwrap();
        let tenants = KeysFile::read(&path).unwrap().tenants;
        assert_eq!((tenants.len(), tenants[0].rate, tenants[0].max_accounts), (1, None, Some(7)));
        run(&path, &["list"]).unwrap();
        run(&path, &["revoke", "ada"]).unwrap();
        assert_eq!(keys(), [bob]);
        run(&path, &["rotate", "bob", "--expires-days=90"]).unwrap();
        assert!(keys()[1].expires > keys()[0].expires);
        let place = directory.path().join("local");
        run(&path, &["init", place.to_str().unwrap()]).unwrap();
        assert!(place.join("auth").exists());
        let [place, operator, projection] =
            ["apart", "operator", "projection"].map(|name| directory.path().join(name));
        let given = [format!("--operator-key={}", operator.display())];
        let given = [&*given[0], &format!("--projection-key={}", projection.display())];
        run(&path, &["init", place.to_str().unwrap(), given[0], given[1]]).unwrap();
        assert!(operator.exists() && projection.exists() && !place.join("auth").exists());
        assert_eq!(KeysFile::read(&place.join("keys.toml")).unwrap().keys.len(), 2);
        for invalid in [
            &["add", "ada"][..],
            &["add", "ada", "--scopes=money:steal"],
            &["add", "a b", "--role=teller"],
            &["revoke", "nobody"],
            &["rotate", "nobody"],
            &["rotate", "bob"],
        ] {
            assert!(run(&path, invalid).is_err(), "{invalid:?}");
        }
    }
}
