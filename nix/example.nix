# A broker for your own bridge.
{
  services.snowflake-broker = {
    enable = true;
    openFirewall = true;

    settings = {
      acme.hostnames = [ "broker.example.org" ];
      acme.email = "you@example.org";
      broker.allowed_relay_pattern = "snowflake.example.org$";
      metrics.metrics_log = "/var/lib/snowflake-broker/metrics.log";
      # No CDN or other reverse proxy is in front of the broker.
      http.trusted_hops = 0;
      matching.client_queue_wait = "2s";
    };

    bridges = [
      {
        displayName = "mine";
        webSocketAddress = "wss://snowflake.example.org/";
        fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
      }
    ];
  };

  # Alice may run `snowflake-broker admin`.
  users.users.alice = {
    isNormalUser = true;
    extraGroups = [ "snowflake-broker-operators" ];
  };
}
