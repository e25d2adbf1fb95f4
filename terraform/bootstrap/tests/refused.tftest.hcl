# What is refused, each by the variable that is wrong. refused-common.tftest.hcl has the values of shared variables.

variables {
  node_id       = "winston-smithnode"
  image         = "registry.example/nym-mixnode:0.1.0@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  directory_url = "http://directory.example:8081"
  key_disks     = ["/dev/sdf"]
}

run "test_port_of_the_system" {
  command = plan

  variables {
    test_port = 80
  }

  expect_failures = [var.test_port]
}

run "test_port_of_the_api" {
  command = plan

  variables {
    role      = "registry"
    test_port = 8081
  }

  expect_failures = [var.test_port]
}

run "test_host_with_a_port" {
  command = plan

  variables {
    test_hosts = ["36.68.243.18:8082"]
  }

  expect_failures = [var.test_hosts]
}

run "test_hosts_two_of_a_family" {
  command = plan

  variables {
    test_hosts = ["2a05:d014::18", "2a05:d014::19"]
  }

  expect_failures = [var.test_hosts]
}

run "no_key_disk" {
  command = plan

  variables {
    key_disks = []
  }

  expect_failures = [var.key_disks]
}

run "key_disk_outside_of_dev" {
  command = plan

  variables {
    key_disks = ["/tmp/disk"]
  }

  expect_failures = [var.key_disks]
}

run "log_driver_unheard_of" {
  command = plan

  variables {
    log_driver = "fluentd"
  }

  expect_failures = [var.log_driver]
}

run "cloud_unheard_of" {
  command = plan

  variables {
    cloud = "nimbus"
  }

  expect_failures = [var.cloud]
}

run "wait_without_end" {
  command = plan

  variables {
    key_disk_wait = 100000
  }

  expect_failures = [var.key_disk_wait]
}

run "log_options_without_a_driver" {
  command = plan

  variables {
    log_options = { awslogs-group = "g" }
  }

  expect_failures = [var.log_options]
}

run "log_option_with_a_space" {
  command = plan

  variables {
    log_driver  = "awslogs"
    log_options = { awslogs-group = "g --privileged" }
  }

  expect_failures = [var.log_options]
}

run "log_option_that_systemd_would_fill_in" {
  command = plan

  variables {
    log_driver  = "awslogs"
    log_options = { awslogs-group = "%H" }
  }

  expect_failures = [var.log_options]
}

run "log_option_with_capitals" {
  command = plan

  variables {
    log_driver  = "awslogs"
    log_options = { Group = "g" }
  }

  expect_failures = [var.log_options]
}

run "a_variable_that_is_a_secret_and_is_not" {
  command = plan

  variables {
    environment        = { A = "b" }
    secret_environment = { A = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-a1b2c3" }
  }

  expect_failures = [var.secret_environment]
}

run "a_secret_on_a_cloud_without_secrets" {
  command = plan

  variables {
    cloud              = "hetzner"
    secret_environment = { A = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-a1b2c3" }
  }

  expect_failures = [var.cloud]
}

run "a_secret_of_another_cloud" {
  command = plan

  variables {
    cloud              = "gcp"
    secret_environment = { A = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-a1b2c3" }
  }

  expect_failures = [var.cloud]
}

run "login_by_role_to_the_registry_of_another_cloud" {
  command = plan

  variables {
    cloud       = "gcp"
    image       = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/nym/mixnode:0.1.0"
    image_login = "role"
  }

  expect_failures = [var.cloud]
}
