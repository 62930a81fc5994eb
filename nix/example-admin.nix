# Whoever has the token may look at the broker by gRPC, from this machine.
{
  services.snowflake-broker = {
    settings.admin = {
      listen = "127.0.0.1:9443";
      tokens = [
        {
          name = "watcher";
          role = "viewer";
          file = "%d/watcher-token";
        }
      ];
    };

    # It has to be there when the broker starts: `openssl rand -hex 32` makes one.
    credentials.watcher-token = "/run/secrets/watcher-token";
  };
}
