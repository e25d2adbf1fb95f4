//! Reads the manufacturer from the machine's firmware tables (DMI), without any network request.

use std::fs;
use std::path::Path;

use super::cloud::Cloud;

/// The directory in which Linux exposes the tables.
pub(super) const DMI_DIR: &str = "/sys/class/dmi/id";

/// Returns the cloud that the firmware names, and the matching entry; `Err` explains why no cloud is recognised.
pub(super) fn cloud(dir: &Path) -> Result<(Cloud, String), String> {
    if !dir.is_dir() {
        return Err(format!("{} does not exist", dir.display()));
    }
    let value = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default().trim().to_owned();
    for (file, mark, cloud) in MARKS {
        let text = value(file);
        if text.to_ascii_lowercase().contains(mark) {
            return Ok((*cloud, format!("{file} is {text:?}")));
        }
    }
    let (vendor, product) = (value("sys_vendor"), value("product_name"));
    Err(format!("{vendor:?} {product:?} is not a known cloud"))
}

/// Texts in each cloud's firmware, in lower case. Specific ones come first: several clouds run on another one's
/// platform.
const MARKS: &[(&str, &str, Cloud)] = &[
    ("sys_vendor", "amazon ec2", Cloud::Aws),
    ("bios_vendor", "amazon ec2", Cloud::Aws),
    ("board_vendor", "amazon ec2", Cloud::Aws),
    ("chassis_asset_tag", "amazon ec2", Cloud::Aws),
    // Old Xen instances.
    ("bios_version", "amazon", Cloud::Aws),
    ("product_name", "google compute engine", Cloud::Gcp),
    ("bios_vendor", "google compute engine", Cloud::Gcp),
    // The asset tag of every machine on Azure.
    ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77", Cloud::Azure),
    ("sys_vendor", "digitalocean", Cloud::DigitalOcean),
    ("sys_vendor", "hetzner", Cloud::Hetzner),
    ("chassis_asset_tag", "oraclecloud.com", Cloud::Oracle),
    ("sys_vendor", "vultr", Cloud::Vultr),
    ("product_name", "openstack", Cloud::OpenStack),
    ("chassis_asset_tag", "openstack", Cloud::OpenStack),
    ("sys_vendor", "openstack", Cloud::OpenStack),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_firmware_names_the_cloud() {
        for (file, text, expected) in [
            ("sys_vendor", "Amazon EC2", Some(Cloud::Aws)),
            ("bios_version", "4.11.amazon", Some(Cloud::Aws)),
            ("product_name", "Google Compute Engine", Some(Cloud::Gcp)),
            ("chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77", Some(Cloud::Azure)),
            ("sys_vendor", "DigitalOcean", Some(Cloud::DigitalOcean)),
            ("sys_vendor", "Hetzner", Some(Cloud::Hetzner)),
            ("chassis_asset_tag", "OracleCloud.com", Some(Cloud::Oracle)),
            ("product_name", "OpenStack Nova", Some(Cloud::OpenStack)),
            ("sys_vendor", "Vultr", Some(Cloud::Vultr)),
            ("sys_vendor", "Dell Inc.", None),
            // A laptop does not run in a cloud.
            ("sys_vendor", "Google", None),
            ("sys_vendor", "Microsoft Corporation", None),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(file), format!("{text}\n")).unwrap();
            assert_eq!(cloud(dir.path()).ok().map(|(cloud, _)| cloud), expected, "{file} {text}");
        }
    }

    #[test]
    fn missing_tables_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        assert!(cloud(&dir.path().join("none")).unwrap_err().contains("does not exist"));
        assert!(cloud(dir.path()).unwrap_err().contains("is not a known cloud"));
    }
}
