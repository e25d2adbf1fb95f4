# What is refused, each by the variable that is wrong. refused-common.tftest.hcl has the values of shared variables.

mock_provider "aws" {
  override_during = plan

  mock_data "aws_region" {
    defaults = { id = "eu-central-1" }
  }

  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c", "eu-central-1d"] }
  }

  mock_data "aws_ami" {
    defaults = { id = "ami-0123456789abcdef0" }
  }

  mock_data "aws_subnet" {
    defaults = { availability_zone = "eu-central-1a", ipv6_cidr_block = "2a05:d014:1234:5600::/64" }
  }

  mock_resource "aws_vpc" {
    defaults = { ipv6_cidr_block = "2a05:d014:1234:5600::/56" }
  }

  mock_resource "aws_ebs_volume" {
    defaults = { id = "vol-0123456789abcdef0" }
  }
}

variables {
  node_id       = "winston-smithnode"
  image         = "registry.example/nym-mixnode:0.1.0@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  directory_url = "http://directory.example:8081"
  region        = "eu-central-1"
}

run "burstable_machine" {
  command = plan

  variables {
    instance_type = "t3.micro"
  }

  expect_failures = [var.instance_type]
}

run "machine_on_which_volumes_have_no_name_of_their_own" {
  command = plan

  variables {
    instance_type = "c4.large"
  }

  expect_failures = [var.instance_type]
}

run "arm_machine_with_slow_cores" {
  command = plan

  variables {
    instance_type = "a1.large"
  }

  expect_failures = [var.instance_type]
}

run "image_id_of_another_cloud" {
  command = plan

  variables {
    ami_id = "debian-12"
  }

  expect_failures = [var.ami_id]
}

run "disk_too_small" {
  command = plan

  variables {
    root_volume_gib = 4
  }

  expect_failures = [var.root_volume_gib]
}

run "logs_for_8_days" {
  command = plan

  variables {
    log_retention_days = 8
  }

  expect_failures = [var.log_retention_days]
}

run "provider_in_another_region" {
  command = plan

  variables {
    region = "eu-west-1"
  }

  expect_failures = [aws_instance.node["1"]]
}

run "user_data_too_large" {
  command = plan

  variables {
    collector = { image = "collector:1", configuration = join("", concat(["receivers: {} # "], [for i in range(400) : sha512(tostring(i))])) }
  }

  expect_failures = [aws_instance.node["1"]]
}

run "tag_of_amazon" {
  command = plan

  variables {
    tags = { "aws:name" = "x" }
  }

  expect_failures = [var.tags]
}

run "tag_with_a_sign" {
  command = plan

  variables {
    tags = { "cost<center" = "x" }
  }

  expect_failures = [var.tags]
}

run "tag_too_long" {
  command = plan

  variables {
    tags = { cost = join("", [for i in range(257) : "x"]) }
  }

  expect_failures = [var.tags]
}

run "too_many_tags" {
  command = plan

  variables {
    tags = { for i in range(46) : "tag${i}" => "x" }
  }

  expect_failures = [var.tags]
}

run "zone_of_another_region" {
  command = plan

  variables {
    zones = ["eu-west-1a"]
  }

  expect_failures = [var.zones]
}

run "region_for_a_zone" {
  command = plan

  variables {
    zones = ["eu-central-1"]
  }

  expect_failures = [var.zones]
}

run "zones_beside_subnets" {
  command = plan

  variables {
    zones      = ["eu-central-1a"]
    subnet_ids = ["subnet-0123456789abcdef0"]
  }

  expect_failures = [var.zones]
}

run "subnet_by_name" {
  command = plan

  variables {
    subnet_ids = ["public-a"]
  }

  expect_failures = [var.subnet_ids]
}

run "public_range" {
  command = plan

  variables {
    vpc_cidr = "36.68.0.0/16"
  }

  expect_failures = [var.vpc_cidr]
}

run "range_too_small" {
  command = plan

  variables {
    vpc_cidr = "10.89.0.0/24"
  }

  expect_failures = [var.vpc_cidr]
}

run "key_by_alias" {
  command = plan

  variables {
    kms_key_id = "alias/disks"
  }

  expect_failures = [var.kms_key_id]
}

run "subnet_without_ipv6" {
  command = plan

  variables {
    subnet_ids = ["subnet-0123456789abcdef0"]
  }

  override_data {
    target = data.aws_subnet.given
    values = { ipv6_cidr_block = "", vpc_id = "vpc-0123456789abcdef0", availability_zone = "eu-central-1a" }
  }

  expect_failures = [data.aws_subnet.given["0"]]
}

run "a_variable_that_is_a_secret_and_is_not" {
  command = plan

  variables {
    environment        = { A = "b" }
    secret_environment = { A = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-a1b2c3" }
  }

  expect_failures = [var.secret_environment]
}

run "an_arn_in_place_of_the_name_of_a_profile" {
  command = plan

  variables {
    instance_profile_name = "arn:aws:iam::123456789012:instance-profile/nym"
  }

  expect_failures = [var.instance_profile_name]
}
