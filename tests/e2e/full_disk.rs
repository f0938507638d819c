//! A full disk: commands and readiness give Postgres's own reason, and recover once there is space
//! again. The test mounts a small file system, so it must run as root.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::client::Client;
use crate::infrastructure::directory;
use crate::launcher::Launched;
use crate::process::eventually;

/// File system in memory, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(name: &str) -> anyhow::Result<Self> {
        let path = directory()?.join(name);
        std::fs::create_dir_all(&path)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=220m,mode=0755", "tmpfs"])
            .arg(&path)
            .status()?;
        ensure!(
            mounted.success(),
            "cannot mount a file system at {}: run the test as root",
            path.display()
        );
        Ok(Self(path))
    }

    /// Fills the space that is left, and returns the file.
    fn fill(&self) -> anyhow::Result<PathBuf> {
        let path = self.0.join("filler");
        let mut file = std::fs::File::options().append(true).create(true).open(&path)?;
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_reported_by_postgres_own_reason_and_recovered_from() -> anyhow::Result<()> {
    let disk = SmallDisk::mount("small")?;
    let mut launched = Launched::start(&disk.0.join("data")).await?;
    let client = Client::new(&[launched.command])?;
    let account = client.open().await?;
    client.deposit(account, None, 1).await?;

    let filler = disk.fill()?;
    let problem = refusal(&disk, &client, &format!("/v1/accounts/{account}/deposits")).await?;
    let detail = problem["detail"].as_str().unwrap_or_default();
    ensure!(
        problem["code"] == "store_unavailable" && detail.contains("No space left on device"),
        "{problem}"
    );
    eventually("readiness gives the same reason", async || {
        let response = client.get("/health/ready").await?;
        let (status, health) = (response.status(), response.text().await?);
        ensure!(status == 503 && health.contains("No space left on device"), "{status}: {health}");
        Ok(())
    })
    .await?;
    let metrics = client.metrics().await?;
    let gauge = r#"passbook_health_check_state{service="command",check="postgres"} 2"#;
    ensure!(metrics.contains(gauge), "{metrics}");

    remove(&filler)?;
    eventually("the service is ready again", async || {
        let response = client.get("/health/ready").await?;
        ensure!(response.status() == 200, "{}", response.text().await?);
        Ok(())
    })
    .await?;
    client.deposit(account, Some("back"), 1).await?;
    launched.process.stop().await
}

/// Deposits until the answer is 503. Allocated pages still take some deposits.
async fn refusal(disk: &SmallDisk, client: &Client, path: &str) -> anyhow::Result<Value> {
    for number in 0..2_000 {
        // A checkpoint can remove files of the WAL meanwhile.
        if number % 100 == 99 {
            disk.fill()?;
        }
        let response =
            client.post(path, Some(&format!("full-{number}")), &json!({"amount": 1})).await?;
        if response.status() == 503 {
            return Ok(serde_json::from_str(&response.text().await?)?);
        }
    }
    anyhow::bail!("the disk is full, and commands are still accepted")
}

fn remove(filler: &Path) -> anyhow::Result<()> {
    std::fs::remove_file(filler).context("the file that fills the disk")
}
