/** The release this program was built from; the build puts the number in. */
export const version = process.env.PEERCAM_VERSION ?? 'development';
