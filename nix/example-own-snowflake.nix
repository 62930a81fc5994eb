# A Snowflake of one's own, on a machine with two addresses: broker, probe server and bridge.
{ pkgs, ... }:
{
  services.snowflake-broker = {
    enable = true;
    openFirewall = true;

    settings = {
      listener.addr = "198.51.100.7:443";
      acme.hostnames = [ "broker.example.org" ];
      acme.email = "you@example.org";
      # Port 443 is enough to prove the name; port 80 is Caddy's.
      acme.http_addr = "";
      broker.allowed_relay_pattern = "^snowflake.example.org$";
      bridges.probe = true;
      http.forwarded_by = "none";
      probe.listen = "198.51.100.7:8443";
      probe.addresses = [
        "198.51.100.7"
        "198.51.100.8"
      ];
      status.listen = "127.0.0.1:9581";
      # Proxies for this pool poll at https://broker.example.org/p/TOKEN/.
      pools = [
        {
          name = "family";
          token_file = "%d/family-token";
        }
      ];
    };

    bridges = [
      {
        displayName = "mine";
        webSocketAddress = "wss://snowflake.example.org/";
        fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567";
      }
    ];

    # This file must exist when the broker starts. `openssl rand -hex 16` makes a token.
    credentials.family-token = "/run/secrets/family-token";
  };

  services.tor = {
    enable = true;
    relay.enable = true;
    relay.role = "private-bridge";
    settings = {
      Nickname = "mine";
      ContactInfo = "you@example.org";
      AssumeReachable = true;
      ORPort = [
        {
          addr = "127.0.0.1";
          port = 9001;
        }
      ];
      ServerTransportPlugin = {
        transports = [ "snowflake" ];
        exec = "${pkgs.snowflake}/bin/server -disable-tls";
      };
      ServerTransportListenAddr = "snowflake 127.0.0.1:8081";
    };
  };

  services.caddy = {
    enable = true;
    virtualHosts."snowflake.example.org" = {
      listenAddresses = [ "198.51.100.8" ];
      # It would have the addresses of proxies.
      logFormat = "output discard";
      extraConfig = "reverse_proxy 127.0.0.1:8081";
    };
  };
  networking.firewall.allowedTCPPorts = [
    80
    443
  ];
}
