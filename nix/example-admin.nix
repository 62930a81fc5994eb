# Read-only access to the administration by gRPC from this machine, with a token.
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

    # This file must exist when the broker starts. `openssl rand -hex 32` makes a token.
    credentials.watcher-token = "/run/secrets/watcher-token";
  };
}
