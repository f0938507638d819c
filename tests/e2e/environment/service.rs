//! A service as a process that can be killed and started again at the same address.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use passbook_shared::config::TlsConfig;
use passbook_shared::http::healthcheck::healthcheck;

use crate::client::Client;
use crate::process::{PASSBOOK, Process, ops_of};

/// Service process that keeps its address over restarts.
pub(crate) struct Service {
    pub(crate) addr: SocketAddr,
    pub(crate) part: &'static str,
    /// Authority of its certificate; none without encryption.
    pub(crate) ca: Option<PathBuf>,
    options: BTreeMap<String, String>,
    variables: Vec<(String, String)>,
    log: PathBuf,
    program: OsString,
    process: Option<Process>,
}

impl Service {
    /// Returns the service `part` without options. It is not started.
    pub(super) fn new(addr: SocketAddr, part: &'static str, log: PathBuf) -> Self {
        let (options, variables) = (BTreeMap::new(), Vec::new());
        let program = PASSBOOK.into();
        Self { addr, part, ca: None, options, variables, log, program, process: None }
    }

    /// Runs another build of `passbook` from the next start on, without the options that it lacks.
    pub(crate) fn run(&mut self, program: impl AsRef<OsStr>) {
        self.program = program.as_ref().to_owned();
    }

    /// Sets an option from the next start on.
    pub(crate) fn set(&mut self, option: &str, value: &str) {
        self.options.insert(option.to_owned(), value.to_owned());
    }

    /// Sets a variable of the process's environment from the next start on.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Leaves an option out from the next start on.
    pub(crate) fn unset(&mut self, option: &str) {
        self.options.remove(option);
    }

    /// Starts the process, also after a kill or a stop.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let help = self.help_of_another_build()?;
        let is_known = |option: &str| help.as_ref().is_none_or(|help| help.contains(option));
        let options = self.options.iter().map(|(option, value)| (format!("--{option}"), value));
        let options = options.filter(|(option, _)| is_known(&format!("{option} <")));
        let options = options.map(|(option, value)| format!("{option}={value}"));
        let arguments: Vec<String> = std::iter::once(self.part.to_owned()).chain(options).collect();
        let set: Vec<(&str, &str)> =
            self.variables.iter().map(|(name, value)| (&**name, &**value)).collect();
        let process = Process::start_program(&self.program, &arguments, &set, &[], &self.log)?;
        self.process = Some(process);
        Ok(())
    }

    /// Returns the options of the program, unless it is this build.
    fn help_of_another_build(&self) -> anyhow::Result<Option<String>> {
        if self.program == PASSBOOK {
            return Ok(None);
        }
        let mut help = std::process::Command::new(&self.program);
        let help = help.args([self.part, "--help"]).output().context("no help")?;
        Ok(Some(String::from_utf8(help.stdout)?))
    }

    /// Returns the output so far, of all starts.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.process.as_ref().with_context(|| format!("the {} was not started", self.part))?.id()
    }

    /// Waits until the service is ready.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        let (addr, part) = (ops_of(self.addr), self.part);
        let process =
            self.process.as_mut().with_context(|| format!("the {part} was not started"))?;
        process.eventually(&format!("the {part} is ready"), async |_| healthcheck(addr).await).await
    }

    /// Waits until the service answers, ready or not.
    pub(crate) async fn answers(&mut self) -> anyhow::Result<()> {
        let (client, part) = (self.client()?, self.part);
        let process =
            self.process.as_mut().with_context(|| format!("the {part} was not started"))?;
        process
            .eventually(&format!("the {part} answers"), async |_| {
                client.json("/v1/store").await.map(drop)
            })
            .await
    }

    /// Kills the process with SIGKILL.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Stops the process with SIGTERM.
    ///
    /// # Errors
    /// It does not end in time, or with an error.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Kills the process and starts it again at once.
    pub(crate) async fn kill_and_start(&mut self) -> anyhow::Result<()> {
        self.kill().await?;
        self.start()
    }

    /// Returns a client of this instance.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::trusting(&[self.addr], self.ca.as_deref())
    }

    /// Returns the encryption of the instance.
    pub(crate) fn tls(&self) -> TlsConfig {
        let path = |option: &str| self.options.get(option).map(PathBuf::from);
        TlsConfig {
            tls_cert_file: path("tls-cert-file"),
            tls_key_file: path("tls-key-file"),
            tls_client_ca_file: path("tls-client-ca-file"),
        }
    }

    /// Waits until the process ends by itself, and returns its output.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<String> {
        let process = self.process.as_mut().context("not started")?;
        let status = process.ended().await?;
        anyhow::ensure!(!status.success(), "{status}: {}", self.output());
        Ok(self.output())
    }
}
