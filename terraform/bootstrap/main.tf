# Renders the cloud-init configuration of a machine that runs a mixnode, or a registry, in a container. It needs no
# provider, so it works on any cloud whose machines support cloud-init.

locals {
  folder     = "/etc/nym-mixnode"
  units      = "/etc/systemd/system"
  home       = "/var/lib/nym-mixnode"
  key_mount  = "/mnt/disks/nym-keys"
  uid        = 65532
  port       = coalesce(var.port, var.role == "registry" ? 8081 : 1789)
  open_ports = var.role == "registry" ? [local.port, var.test_port] : [local.port]

  # The longest graceful stop takes 5 s to unregister, 5 s for senders with the old topology, 15 s for packets in the
  # pool and 5 s for telemetry. The rest is reserve.
  stop_seconds = 60

  node_environment = merge(
    {
      NYM_MIXNODE_HOME                 = local.home
      NYM_MIXNODE_ID                   = var.node_id
      NYM_MIXNODE_INIT_IF_MISSING      = "true"
      NYM_MIXNODE_DIRECTORY_URL        = var.directory_url
      NYM_MIXNODE_NODE_LAYER           = var.layer == 0 ? "" : tostring(var.layer)
      NYM_MIXNODE_NODE_LOCATION        = var.location
      NYM_MIXNODE_ADDRESS_CLOUD        = var.cloud
      NYM_MIXNODE_ANNOUNCE_ADDRESSES   = join(",", [for host in var.announce_hosts : strcontains(host, ":") ? "[${host}]:${local.port}" : "${host}:${local.port}"])
      NYM_MIXNODE_LIMITS_NOFILE        = tostring(var.nofile)
      NYM_MIXNODE_LIMITS_NOFILE_STRICT = "true"
      # A static address may be attached shortly after the machine starts.
      NYM_MIXNODE_ANNOUNCE_RECHECK        = "1m"
      NYM_MIXNODE_NODE_INCENTIVES_ADDRESS = var.incentives_address
      NYM_MIXNODE_LISTEN_ADDRESSES        = local.port == 1789 ? "" : "[::]:${local.port}"
      OTEL_EXPORTER_OTLP_ENDPOINT         = var.otlp_endpoint
      OTEL_RESOURCE_ATTRIBUTES            = var.otlp_endpoint == "" ? "" : "service.instance.id=${var.node_id}"
    },
    var.environment,
  )
  environment = var.role == "mixnode" ? local.node_environment : var.environment
  command     = var.role == "mixnode" ? "run" : "registry --listen [::]:${local.port} --data ${local.home}/registry.sqlite --with-monitor --monitor-every ${var.monitor_every} ${local.test_packets}"

  # Where clouds translate public IPv4 addresses, the registry cannot detect its own.
  test_addresses = [for host in var.test_hosts : strcontains(host, ":") ? "[${host}]:${var.test_port}" : "${host}:${var.test_port}"]
  test_packets   = length(var.test_hosts) == 0 ? "--test-port ${var.test_port}" : "--test-address ${join(",", local.test_addresses)}"

  # With the host's network, IPv6 needs no Docker settings, the node sees the addresses of its peers and can count the
  # connections of each, no translation table fills up, and the metadata service is one hop away instead of two.
  hardening = [
    "--rm",
    "--network host",
    "--read-only",
    "--cap-drop ALL",
    "--security-opt no-new-privileges",
    "--user ${local.uid}:${local.uid}",
  ]
  logging = concat(
    ["--log-driver ${var.log_driver}"],
    [for name, value in var.log_options : "--log-opt ${name}=${value}"],
  )

  unit = templatefile("${path.module}/files/container.service.tftpl", {
    description  = var.role == "mixnode" ? "Nym mixnode ${var.node_id}" : "Nym mixnode registry"
    name         = "nym-${var.role}"
    key_disk     = true
    secrets      = length(var.secret_environment) > 0
    image        = var.image
    ports        = join(" ", local.open_ports)
    command      = local.command
    stop_seconds = local.stop_seconds
    nofile       = var.nofile
    options = concat(
      local.hardening,
      local.logging,
      ["--ulimit nofile=${var.nofile}:${var.nofile}", "--env-file ${local.folder}/node.env"],
      length(var.secret_environment) == 0 ? [] : ["--env-file /run/nym-mixnode/nym-${var.role}.secrets"],
      ["--mount type=bind,source=${local.key_mount}/data,target=${local.home}"],
    )
  })

  collector_unit = var.collector == null ? "" : templatefile("${path.module}/files/container.service.tftpl", {
    description  = "OpenTelemetry collector"
    name         = "nym-collector"
    key_disk     = false
    secrets      = false
    image        = var.collector.image
    ports        = "4317 4318"
    command      = "--config /collector.yaml"
    stop_seconds = 30
    nofile       = var.nofile
    options = concat(local.hardening, local.logging, [
      "--ulimit nofile=${var.nofile}:${var.nofile}",
      "--mount type=bind,source=${local.folder}/collector.yaml,target=/collector.yaml,readonly",
    ])
  })

  # Only the names of secrets: the machine reads the values at each start of the unit.
  credentials = var.image_login == "none" && length(var.secret_environment) == 0 ? {} : {
    "${local.folder}/bin/credentials" = file("${path.module}/files/credentials")
    "${local.folder}/credentials.json" = jsonencode({
      cloud        = var.cloud
      image        = var.image
      image_login  = var.image_login
      image_secret = var.image_secret
      environment  = var.secret_environment
    })
  }

  bootstrap_environment = <<-EOT
    KEY_DISKS='${join(" ", var.key_disks)}'
    KEY_DISK_WAIT=${var.key_disk_wait}
    KEY_LABEL=nym-keys
    KEY_MOUNT=${local.key_mount}
    CONTAINER_UID=${local.uid}
  EOT

  # Without lines of comments, because EC2 limits the size of user data.
  comment = "/(?m)^[ \t]*#[^!].*\n/"
  scripts = {
    for name in ["bootstrap", "host-firewall", "image", "key-disk", "runtime"] :
    "${local.folder}/bin/${name}" => replace(file("${path.module}/files/${name}"), local.comment, "")
  }
  node_env = join("", [for name, value in local.environment : "${name}=${value}\n" if try(length(value), 0) > 0])
  files = merge(
    local.scripts,
    local.credentials,
    {
      "${local.folder}/bootstrap.env"          = local.bootstrap_environment
      "${local.folder}/node.env"               = local.node_env
      "${local.units}/nym-${var.role}.service" = local.unit
    },
    var.collector == null ? {} : {
      "${local.folder}/collector.yaml"       = var.collector.configuration
      "${local.units}/nym-collector.service" = local.collector_unit
    },
  )
  # With these checksums the machine detects files that a power cut left incomplete.
  manifest = join("", [for path, content in local.files : "${sha256(content)}  ${path}\n"])

  cloud_config = {
    bootcmd = [["/bin/bash", "-c", file("${path.module}/files/repair")]]
    write_files = [
      for path, content in merge(local.files, { "${local.folder}/manifest" = local.manifest }) : {
        path        = path
        owner       = "root:root"
        permissions = startswith(path, local.units) || endswith(path, "collector.yaml") ? "0644" : "0600"
        content     = content
      }
    ]
    runcmd = [["/bin/bash", "${local.folder}/bin/bootstrap"]]
  }
}
