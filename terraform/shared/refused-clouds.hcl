# Values of shared variables that the modules of clouds refuse.

run "unknown_region" {
  command = plan

  variables {
    region = "eu-middle-9"
  }

  expect_failures = [var.region]
}

run "no_nodes" {
  command = plan

  variables {
    node_count = 0
  }

  expect_failures = [var.node_count]
}

run "one_address_for_two_nodes" {
  command = plan

  variables {
    node_count     = 2
    announce_hosts = ["36.68.243.18"]
  }

  expect_failures = [var.node_count]
}

run "telemetry_from_everywhere" {
  command = plan

  variables {
    collector_from = "0.0.0.0/0"
  }

  expect_failures = [var.collector_from]
}

run "rounds_without_a_unit" {
  command = plan

  variables {
    monitor_every = "10"
  }

  expect_failures = [var.monitor_every]
}
