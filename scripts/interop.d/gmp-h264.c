/* A Gecko media plugin that decodes nothing. Firefox offers H.264 over WebRTC only when a plugin says that it has it, and the real one
   is a download; what arrives is then decoded by the system's libavcodec. */
int GMPInit(const void *platform) { return platform ? 0 : 1; }
int GMPGetAPI(const char *name, void *host, void **api)
{
    (void)name, (void)host;
    *api = 0;
    return 5; /* GMPNotImplementedErr */
}
void GMPShutdown(void) {}
