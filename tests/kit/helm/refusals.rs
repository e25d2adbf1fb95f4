//! The chart rejects invalid values by name before it installs anything.

use super::template;

/// Flags, and the text that the error must contain.
const REFUSED: &[(&str, &str)] = &[
    ("--set replicas=3", "additional properties 'replicas'"),
    ("--set replicaCount=-1", "/replicaCount"),
    ("--set replicaCount=many", "/replicaCount"),
    ("--set replicaCount=101", "/replicaCount"),
    ("--set image.name=x", "additional properties 'name'"),
    ("--set image.repository=Nym", "/image/repository"),
    ("--set image.repository=", "image.repository is missing: build the image"),
    ("--set image.repository=https://a.example/mix", "has no scheme; set image.repository=a.example/mix"),
    (
        "--set image.repository=a.example:5000/mix:1.2",
        "set image.repository=a.example:5000/mix and --set-string image.tag=1.2",
    ),
    ("--set image.repository=mix@sha256:12", "with a digest: set image.repository=mix and image.digest=sha256:12"),
    ("--set image.repository=a.example/Mix", "set image.repository=a.example/mix"),
    ("--set collector.enabled=true,collector.image.repository=otel/collector:1", "collector.image.repository is"),
    ("--set nameOverride=123", "/nameOverride"),
    ("--set securityContext.runAsUser=0", "/securityContext/runAsUser"),
    ("--set securityContext.privileged=true", "additional properties 'privileged'"),
    ("--set registry.priorityClassName=High_Priority", "/registry/priorityClassName"),
    ("--set-json registry.affinity.podAfinity={}", "additional properties 'podAfinity'"),
    ("--set-string image.tag=a:b", "/image/tag"),
    ("--set image.digest=sha256:12", "/image/digest"),
    ("--set image.pullPolicy=Sometimes", "/image/pullPolicy"),
    ("--set imagePullSecrets=pull", "/imagePullSecrets"),
    ("--set nameOverride=Bad_Name", "/nameOverride"),
    ("--set fullnameOverride=-x", "/fullnameOverride"),
    ("--set directory.url=", "directory.url is missing: set it"),
    ("--set directory.url=ftp://directory", "/directory/url"),
    ("--set directory.url=http://user:password@directory", "/directory/url"),
    ("--set directory.uri=http://directory", "additional properties 'uri'"),
    ("--set directory.metricsUrl=metrics", "/directory/metricsUrl"),
    ("--set registry.enabled=true", "directory.url and registry.enabled"),
    ("--set registry.enabled=1", "/registry/enabled"),
    ("--set registry.port=http", "/registry/port"),
    ("--set registry.persistence.size=256", "/registry/persistence/size"),
    ("--set registry.replicas=0", "/registry/replicas"),
    ("--set registry.database.url=postgres://nym:secret@db/nym", "additional properties 'url'"),
    ("--set registry.database.existingSecret=Bad_Name", "/registry/database/existingSecret"),
    ("--set registry.database.key=../url", "/registry/database/key"),
    ("--set registry.token.existingSecret=Bad_Name", "/registry/token/existingSecret"),
    (
        "--set directory.url=,registry.enabled=true,registry.replicas=2",
        "registry.replicas is 2, but without a database the store is a file",
    ),
    (
        "--set directory.url=,registry.enabled=true,registry.replicas=2,registry.database.existingSecret=database",
        "registry.token.existingSecret is missing",
    ),
    ("--set registry.tls.existingSecret=Bad_Name", "/registry/tls/existingSecret"),
    ("--set registry.ingress.host=Mixnet.example", "/registry/ingress/host"),
    ("--set registry.ingress.annotations.a=1", "/registry/ingress/annotations/a"),
    ("--set registry.ingress.enabled=true", "registry.ingress.enabled: this release has no registry"),
    ("--set directory.url=,registry.enabled=true,registry.ingress.enabled=true", "registry.ingress.host is missing"),
    ("--set registry.httpRoute.parentRefs[0].namespace=a", "/registry/httpRoute/parentRefs/0"),
    (
        "--set directory.url=,registry.enabled=true,registry.httpRoute.enabled=true,registry.httpRoute.host=a.example",
        "registry.httpRoute.parentRefs is missing",
    ),
    ("--set registry.trustedProxies[0]=proxy", "/registry/trustedProxies/0"),
    ("--set registry.hostNames[0]=a/b", "/registry/hostNames/0"),
    ("--set node.layer=0", "/node/layer"),
    ("--set node.layer=first", "/node/layer"),
    ("--set-json node.layer=1.5", "/node/layer"),
    ("--set node.layers=0", "/node/layers"),
    ("--set node.locaton=here", "additional properties 'locaton'"),
    ("--set node.location=", "/node/location"),
    ("--set network.mode=hostnetwork", "/network/mode"),
    ("--set network.mdoe=nodePort", "additional properties 'mdoe'"),
    ("--set network.port=0", "/network/port"),
    ("--set network.port=70000", "/network/port"),
    ("--set network.ipFamilyPolicy=DualStack", "/network/ipFamilyPolicy"),
    ("--set network.externalTrafficPolicy=local", "/network/externalTrafficPolicy"),
    ("--set network.allowPrivate=maybe", "/network/allowPrivate"),
    ("--set network.waitForAddress=15", "/network/waitForAddress"),
    ("--set network.loadBalancer.sourceRanges[0]=everybody", "/network/loadBalancer/sourceRanges/0"),
    ("--set network.loadBalancer.annotations.a=1", "/network/loadBalancer/annotations/a"),
    ("--set network.nodePort.first=0", "/network/nodePort/first"),
    ("--set network.mode=nodePort,network.nodePort.first=32767,replicaCount=2", "network.nodePort.first is too high"),
    ("--set network.hostNetwork.source=metadata", "/network/hostNetwork/source"),
    ("--set network.hostNetwork.cloud=alibaba", "/network/hostNetwork/cloud"),
    ("--set network.mode=hostNetwork,network.port=8000", "network.port and network.hostNetwork.httpPort are both 8000"),
    ("--set keys.existingSecret=Bad_Name", "/keys/existingSecret"),
    ("--set keys.existingSecret=keys,replicaCount=2", "keys.existingSecret contains one identity"),
    ("--set keys.existingSecret=keys-$(number)", "/keys/existingSecret"),
    ("--set backup.enabled=true", "backup.passphraseSecret is missing"),
    ("--set backup.enabled=true,keys.existingSecret=keys", "backup.enabled: nothing of this release is on a volume"),
    (
        "--set backup.enabled=true,backup.passphraseSecret=a,persistence.accessMode=ReadWriteOncePod",
        "backup.enabled: persistence.accessMode is ReadWriteOncePod",
    ),
    ("--set backup.enabled=true,backup.passphraseSecret=a", "backup.existingClaim is missing"),
    ("--set backup.schedule=weekly", "/backup/schedule"),
    ("--set persistence.size=64", "/persistence/size"),
    ("--set persistence.accessMode=ReadWriteMany", "/persistence/accessMode"),
    ("--set-string nofile.target=65535", "/nofile/target"),
    ("--set nofile.target=10", "/nofile/target"),
    ("--set nofile.strict=yes", "/nofile/strict"),
    ("--set shutdown.lingerSeconds=5s", "/shutdown/lingerSeconds"),
    ("--set shutdown.drainSeconds=-1", "/shutdown/drainSeconds"),
    ("--set settings.mix\\.worker=4", "additional properties 'mix.worker'"),
    ("--set settings.mix\\.workers=four", "/settings/mix.workers"),
    ("--set settings.node\\.layer=1", "additional properties 'node.layer'"),
    ("--set logLevel=", "/logLevel"),
    ("--set extraEnv[0].value=x", "/extraEnv/0"),
    ("--set extraEnv[0].name=1A", "/extraEnv/0/name"),
    ("--set extraVolumeMounts[0].name=a,extraVolumeMounts[0].mountPath=data", "/extraVolumeMounts/0/mountPath"),
    ("--set resources.limits.cpus=1", "additional properties 'cpus'"),
    ("--set resources.limits.memory=lots", "/resources/limits/memory"),
    ("--set probes.periodSeconds=0", "/probes/periodSeconds"),
    ("--set podLabels.a=1", "/podLabels/a"),
    (
        "--set podLabels.app\\.kubernetes\\.io/component=x",
        "podLabels: app.kubernetes.io/component is reserved for the chart",
    ),
    (
        "--set commonLabels.app\\.kubernetes\\.io/name=x",
        "commonLabels: app.kubernetes.io/name is reserved for the chart",
    ),
    ("--set commonLabels.helm\\.sh/chart=x", "commonLabels: helm.sh/chart is reserved for the chart"),
    ("--set podAnnotations.checksum/config=x", "podAnnotations: checksum/config is reserved for the chart"),
    ("--set tolerations[0].operator=Is", "/tolerations/0/operator"),
    ("--set-json affinity.podAfinity={}", "additional properties 'podAfinity'"),
    ("--set topologySpreadConstraints[0].maxSkew=1", "/topologySpreadConstraints/0"),
    ("--set priorityClassName=High_Priority", "/priorityClassName"),
    ("--set serviceAccount.create=1", "/serviceAccount/create"),
    ("--set podDisruptionBudget.minAvailable=1", "additional properties 'minAvailable'"),
    ("--set networkPolicy.monitoring[0].from=x", "/networkPolicy/monitoring/0"),
    ("--set metrics.serviceMonitor.interval=30", "/metrics/serviceMonitor/interval"),
    ("--set metrics.prometheus.enabled=true", "additional properties 'prometheus'"),
    (
        "--set metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true",
        "metrics.serviceMonitor.enabled and metrics.podMonitor.enabled exclude each other",
    ),
    (
        "--set network.mode=hostNetwork,metrics.serviceMonitor.enabled=true",
        "metrics.serviceMonitor.enabled: on the host's network",
    ),
    ("--set network.mode=hostNetwork,metrics.podMonitor.enabled=true", "set collector.enabled=true, so that"),
    (
        "--set metrics.dashboard.labels.app\\.kubernetes\\.io/instance=x",
        "metrics.dashboard.labels: app.kubernetes.io/instance is reserved for the chart",
    ),
    ("--set gateway.enabled=1", "/gateway/enabled"),
    ("--set gateway.replicaCount=2", "additional properties 'replicaCount'"),
    ("--set gateway.replicas=11", "/gateway/replicas"),
    ("--set gateway.port=0", "/gateway/port"),
    ("--set gateway.clientsPort=ws", "/gateway/clientsPort"),
    ("--set gateway.announceUrl=http://gateway.example", "/gateway/announceUrl"),
    ("--set gateway.nodePort.clients=31900", "additional properties 'clients'"),
    ("--set gateway.persistence.size=4", "/gateway/persistence/size"),
    ("--set gateway.persistence.enabled=false", "additional properties 'enabled'"),
    ("--set gateway.settings.gateway\\.listen=1.2.3.4", "additional properties 'gateway.listen'"),
    ("--set gateway.settings.gateway\\.clients_max=many", "/gateway/settings/gateway.clients_max"),
    ("--set settings.gateway\\.clients_max=9", "additional properties 'gateway.clients_max'"),
    ("--set gateway.resources.limits.cpus=1", "additional properties 'cpus'"),
    (
        "--set gateway.enabled=true,gateway.replicas=2,gateway.announceUrl=ws://a.example:9000",
        "gateway.announceUrl is ws://a.example:9000 for all 2 gateways",
    ),
    ("--set gateway.enabled=true,gateway.port=9000", "gateway.clientsPort and gateway.port are both 9000"),
    (
        "--set gateway.enabled=true,gateway.clientsPort=8000",
        "gateway.clientsPort and the port of status requests are both",
    ),
    (
        "--set gateway.enabled=true,network.mode=hostNetwork,gateway.port=8001",
        "gateway.port and gateway.hostNetwork.httpPort are both 8001",
    ),
    (
        "--set gateway.enabled=true,network.mode=nodePort,gateway.nodePort.first=32766,gateway.replicas=2",
        "gateway.nodePort.first is too high: with gateway.replicas 2 the last node would have port 32769",
    ),
    (
        "--set gateway.enabled=true,network.mode=nodePort,replicaCount=2,gateway.nodePort.first=31790",
        "gateway.nodePort.first: the ports 31790 to 31791 of the gateways overlap with the ports 31789 to 31790",
    ),
    (
        "--set gateway.enabled=true,gateway.keys.existingSecret=keys,gateway.replicas=2",
        "gateway.keys.existingSecret contains one identity, but gateway.replicas is 2",
    ),
    (
        "--set keys.existingSecret=keys,gateway.enabled=true,gateway.persistence.accessMode=ReadWriteOncePod,\
         backup.enabled=true,backup.passphraseSecret=a",
        "backup.enabled: gateway.persistence.accessMode is ReadWriteOncePod",
    ),
    (
        "--namespace a-namespace-with-a-very-long-name-for-the-gateways-of-a-network --set gateway.enabled=true,\
         network.mode=clusterOnly,fullnameOverride=a-very-long-name-of-a-release",
        "gateway.announceUrl: the URL for clients ws://a-very-long-name",
    ),
    ("--set tests.packets=0", "/tests/packets"),
    ("--set collector.image.tag=", "/collector/image/tag"),
    ("--set-string collector.env.TRACES_TO=x", "additional properties 'TRACES_TO'"),
];

/// Valid values with a registry and an image that are never used.
const GOOD: [&str; 2] = ["--set", "directory.url=http://directory,image.repository=localhost/nym-mixnode"];

#[test]
fn invalid_values_are_rejected_by_name() {
    template(&GOOD).expect("what all begin with");
    let mut complaints = Vec::new();
    for (flags, named) in REFUSED {
        let flags: Vec<_> = GOOD.into_iter().chain(flags.split_whitespace()).collect();
        match template(&flags) {
            Ok(_) => complaints.push(format!("{} is taken", flags[3])),
            Err(error) if !error.contains(named) => complaints.push(format!("{}: no {named} in {error}", flags[3])),
            Err(_) => {}
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
