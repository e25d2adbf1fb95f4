output "kubeconfig" {
  description = "Command that configures kubectl and helm for the cluster."
  value       = "gcloud container clusters get-credentials ${google_container_cluster.this.name} --region ${var.region} --project ${var.project}"
}

output "storage_class" {
  description = "Command that creates the storage class of the volumes with the keys. Run it in the root of the repository."
  value       = "kubectl apply -f terraform/examples/gke/storage-class.yaml"
}

output "helm_install" {
  description = "Command that installs the mixnodes, each with the addresses of its machine. Run it in the root of the repository."
  value = join(" ", [
    "helm install mixnodes helm/nym-mixnode",
    "--set image.repository=${regex("^(.*):[^:]*$", var.image)[0]}",
    "--set-string image.tag=${regex("[^:]*$", var.image)}",
    "--set replicaCount=${var.node_count}",
    "--set directory.url=${var.directory_url}",
    "--set network.mode=hostNetwork",
    "--set network.hostNetwork.cloud=gcp",
    "--set-string nodeSelector.nym-mixnode=true",
    "--set persistence.storageClass=nym-keys",
    "--set persistence.accessMode=ReadWriteOncePod",
  ])
}

output "does_it_mix" {
  description = "Command that checks that the nodes mix. Run it on a machine that the nodes can reach."
  value       = "nym-mixnode probe --directory ${var.directory_url}"
}
