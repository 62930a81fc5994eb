# One of three machines of a cluster, each with a NATS server and a broker beside it. They
# differ in the names of their hosts only.
{
  services.nats = {
    enable = true;
    # The broker of this machine needs no password.
    port = 4222;
    jetstream = true;
    settings = {
      host = "127.0.0.1";
      ping_interval = "5s";
      ping_max = 2;
      # The servers know each other by certificates of an authority of your own.
      cluster = {
        name = "snowflake";
        port = 6222;
        routes = [
          "nats://one.example.org:6222"
          "nats://two.example.org:6222"
          "nats://three.example.org:6222"
        ];
        tls = {
          cert_file = "/run/secrets/nats.pem";
          key_file = "/run/secrets/nats.key";
          ca_file = "/run/secrets/nats-ca.pem";
          verify = true;
        };
      };
    };
  };
  networking.firewall.allowedTCPPorts = [ 6222 ];

  services.snowflake-broker = {
    settings.cluster = {
      servers = [ "nats://127.0.0.1:4222" ];
      key_file = "%d/cluster-key";
    };
    # The same on all machines: `openssl rand -base64 32` makes it.
    credentials.cluster-key = "/run/secrets/cluster-key";
  };
}
