output "kubeconfig" {
  description = "Makes kubectl and helm talk to the cluster."
  value       = "aws eks update-kubeconfig --region ${var.region} --name ${aws_eks_cluster.this.name}"
}

output "storage_class" {
  description = "Makes the class of the volumes that the keys lie on. Run it at the top of the repository."
  value       = "kubectl apply -f terraform/examples/eks/storage-class.yaml"
}

output "helm_install" {
  description = "Installs the mixnodes, each with the address of its machine. Run it at the top of the repository."
  value = join(" ", [
    "helm install mixnodes helm/nym-mixnode",
    "--set image.repository=${regex("^(.*):[^:]*$", var.image)[0]}",
    "--set-string image.tag=${regex("[^:]*$", var.image)}",
    "--set replicaCount=${var.node_count}",
    "--set directory.url=${var.directory_url}",
    "--set network.mode=hostNetwork",
    "--set network.hostNetwork.cloud=aws",
    "--set-string nodeSelector.nym-mixnode=true",
    "--set persistence.storageClass=nym-keys",
    "--set persistence.accessMode=ReadWriteOncePod",
  ])
}

output "does_it_mix" {
  description = "How to see that they mix, from any machine that they can reach."
  value       = "nym-mixnode probe --directory ${var.directory_url}"
}
