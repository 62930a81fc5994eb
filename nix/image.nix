# An OCI image with the broker and what it reads: no shell, no package manager, no root.
# contrib/container makes the same of the Debian package.
{
  lib,
  dockerTools,
  cacert,
  tor,
  snowflake-broker,
}:

let
  # Nobody on any machine. A number, so that Kubernetes sees that it is not root.
  user = "65532:65532";
  state = "/var/lib/snowflake-broker";
in
dockerTools.streamLayeredImage {
  name = snowflake-broker.pname;
  tag = snowflake-broker.version;
  contents = [ snowflake-broker ];

  # The directory of the administration's socket, for `exec`.
  fakeRootCommands = ''
    mkdir -p .${state} ./run/snowflake-broker
    chown ${user} .${state} ./run/snowflake-broker
    chmod 0700 .${state} ./run/snowflake-broker
  '';

  config = {
    Entrypoint = [ (lib.getExe snowflake-broker) ];
    User = user;
    WorkingDir = state;
    Volumes.${state} = { };
    # Those below 1024 are for root in some runtimes.
    ExposedPorts = {
      "8443/tcp" = { };
      "8080/tcp" = { };
    };
    Env = [
      "PATH=/bin"
      "SNOWFLAKE_BROKER_LISTENER__ADDR=:8443"
      "SNOWFLAKE_BROKER_ACME__HTTP_ADDR=:8080"
      "SNOWFLAKE_BROKER_ACME__CERT_CACHE=${state}/acme"
      "SNOWFLAKE_BROKER_METRICS__STATE_DIRECTORY=${state}/metrics"
      "SNOWFLAKE_BROKER_GEOIP__GEOIPDB=${tor.geoip}/share/tor/geoip"
      "SNOWFLAKE_BROKER_GEOIP__GEOIP6DB=${tor.geoip}/share/tor/geoip6"
      "SSL_CERT_FILE=${cacert}/etc/ssl/certs/ca-bundle.crt"
    ];
    Labels = {
      "org.opencontainers.image.title" = snowflake-broker.pname;
      "org.opencontainers.image.description" = snowflake-broker.meta.description;
      "org.opencontainers.image.version" = snowflake-broker.version;
      "org.opencontainers.image.licenses" = snowflake-broker.meta.license.spdxId;
    };
  };
}
